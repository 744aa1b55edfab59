// SPDX-License-Identifier: Apache-2.0
//! Every family of condition operators, by table.

use hythe_access::{Action, RequestContext};
use hythe_rules::{ConditionContext, Policies, PolicyGrammar, Request, decide, explain};

use crate::support::{WEB, account, answer, attributes, named, policy, principal, requester};

type Given<'a> = &'a [(&'a str, &'a [&'a str])];

/// Whether a statement with this condition applies to a request with these values.
fn applies(condition: &str, given: Given<'_>) -> bool {
    let statement = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}"#);
    let identity = [named(policy(&statement, PolicyGrammar::Identity).unwrap())];
    let (ada, owner, given) = (principal("1/ada"), account("1"), attributes(given));
    let context = ConditionContext {
        given: Some(&given),
        ..ConditionContext::default()
    };
    let request = Request {
        requester: requester("1/ada", &ada),
        action: Action::BatchGetImage,
        resource: WEB,
        owner: &owner,
        context: &context,
    };
    let policies = Policies {
        identity: &identity,
        ..Policies::default()
    };
    let explanation = explain(&request, &policies);
    assert_eq!(explanation.near.is_empty(), explanation.decision.is_allowed());
    decide(&request, &policies).is_allowed()
}

#[test]
fn texts_are_compared() {
    let agent: Given<'_> = &[("aws:UserAgent", &["docker/29"])];
    let cases: &[(&str, Given<'_>, bool)] = &[
        (r#"{"StringEquals":{"aws:UserAgent":"docker/29"}}"#, agent, true),
        (
            r#"{"StringEquals":{"AWS:useragent":["curl","docker/29"]}}"#,
            agent,
            true,
        ),
        (r#"{"StringEquals":{"aws:UserAgent":"Docker/29"}}"#, agent, false),
        (r#"{"StringEquals":{"aws:UserAgent":"docker/*"}}"#, agent, false),
        (r#"{"StringEquals":{"aws:UserAgent":"docker/29"}}"#, &[], false),
        (
            r#"{"StringEqualsIgnoreCase":{"aws:UserAgent":"Docker/29"}}"#,
            agent,
            true,
        ),
        (
            r#"{"StringNotEqualsIgnoreCase":{"aws:UserAgent":"Docker/29"}}"#,
            agent,
            false,
        ),
        (r#"{"StringNotEquals":{"aws:UserAgent":"curl"}}"#, agent, true),
        (
            r#"{"StringNotEquals":{"aws:UserAgent":["curl","docker/29"]}}"#,
            agent,
            false,
        ),
        (r#"{"StringNotEquals":{"aws:UserAgent":"curl"}}"#, &[], true),
        (r#"{"StringLike":{"aws:UserAgent":"docker/?9"}}"#, agent, true),
        (r#"{"StringLike":{"aws:UserAgent":"*er*"}}"#, agent, true),
        (r#"{"StringLike":{"aws:UserAgent":"docker"}}"#, agent, false),
        (r#"{"StringNotLike":{"aws:UserAgent":"docker*"}}"#, agent, false),
        (r#"{"StringNotLike":{"aws:UserAgent":"docker*"}}"#, &[], true),
        // All operators and all keys must hold.
        (
            r#"{"StringLike":{"aws:UserAgent":"d*"},"StringNotLike":{"aws:UserAgent":"*9"}}"#,
            agent,
            false,
        ),
        (
            r#"{"StringLike":{"aws:UserAgent":"d*","aws:Referer":"*"}}"#,
            agent,
            false,
        ),
    ];
    check(cases);
    assert!(applies("{}", &[]), "no condition is no limit");
}

#[test]
fn numbers_dates_truths_bytes_and_addresses_are_compared() {
    let age: Given<'_> = &[("token.example.com:age", &["10"])];
    let time: Given<'_> = &[("aws:CurrentTime", &["2026-01-31T12:00:00Z"])];
    let address: Given<'_> = &[("aws:SourceIp", &["192.0.2.7"])];
    let tls: Given<'_> = &[("aws:SecureTransport", &["TRUE"])];
    let bytes: Given<'_> = &[("token.example.com:key", &["QmluYXJ5"])];
    check(&[
        (r#"{"NumericEquals":{"token.example.com:age":10.0}}"#, age, true),
        (r#"{"NumericEquals":{"token.example.com:age":["9","10"]}}"#, age, true),
        (r#"{"NumericNotEquals":{"token.example.com:age":10}}"#, age, false),
        (r#"{"NumericNotEquals":{"token.example.com:age":10}}"#, &[], true),
        (r#"{"NumericLessThan":{"token.example.com:age":10}}"#, age, false),
        (r#"{"NumericLessThanEquals":{"token.example.com:age":10}}"#, age, true),
        (r#"{"NumericGreaterThan":{"token.example.com:age":"9.99"}}"#, age, true),
        (
            r#"{"NumericGreaterThanEquals":{"token.example.com:age":11}}"#,
            age,
            false,
        ),
        (
            r#"{"NumericLessThan":{"token.example.com:age":10}}"#,
            &[("token.example.com:age", &["young"])],
            false,
        ),
        (
            r#"{"DateEquals":{"aws:CurrentTime":"2026-01-31T13:00:00+01:00"}}"#,
            time,
            true,
        ),
        (r#"{"DateNotEquals":{"aws:CurrentTime":"2026-01-31"}}"#, time, true),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-02"}}"#, time, true),
        (
            r#"{"DateLessThanEquals":{"aws:CurrentTime":"2026-01-31T12:00:00Z"}}"#,
            time,
            true,
        ),
        (
            r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-01-31T12:00:00Z"}}"#,
            time,
            false,
        ),
        (
            r#"{"DateGreaterThanEquals":{"aws:CurrentTime":"1769860800"}}"#,
            time,
            true,
        ),
        (r#"{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01"}}"#, &[], false),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, tls, true),
        (r#"{"Bool":{"aws:SecureTransport":true}}"#, tls, true),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, tls, false),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, &[], false),
        (r#"{"BoolIfExists":{"aws:SecureTransport":"false"}}"#, &[], true),
        (r#"{"BinaryEquals":{"token.example.com:key":"QmluYXJ5"}}"#, bytes, true),
        (r#"{"BinaryEquals":{"token.example.com:key":"AAAA"}}"#, bytes, false),
        (
            r#"{"IpAddress":{"aws:SourceIp":["198.51.100.0/24","192.0.2.0/24"]}}"#,
            address,
            true,
        ),
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.8"}}"#, address, false),
        (
            r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#,
            &[("aws:SourceIp", &["2001:db8::1"])],
            true,
        ),
        (r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, address, false),
        (r#"{"NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}}"#, address, true),
        (r#"{"NotIpAddress":{"aws:SourceIp":"198.51.100.0/24"}}"#, &[], true),
    ]);
}

#[test]
fn arns_are_compared_part_by_part_and_equals_is_like() {
    let arn: Given<'_> = &[("aws:SourceArn", &["arn:aws:lambda:local:111111111111:function:pull"])];
    for (operator, want) in [
        ("ArnEquals", true),
        ("ArnLike", true),
        ("ArnNotEquals", false),
        ("ArnNotLike", false),
    ] {
        for pattern in [
            "arn:aws:lambda:*:*:function:*",
            "arn:aws:lambda:local:111111111111:function:pul?",
            "*",
        ] {
            let condition = format!(r#"{{"{operator}":{{"aws:SourceArn":"{pattern}"}}}}"#);
            assert_eq!(applies(&condition, arn), want, "{condition}");
        }
        let condition = format!(r#"{{"{operator}":{{"aws:SourceArn":"arn:aws:lambda:*:function:*:*"}}}}"#);
        assert_eq!(applies(&condition, arn), !want, "a wildcard stays in its part");
        let condition = format!(r#"{{"{operator}":{{"aws:SourceArn":"*"}}}}"#);
        assert_eq!(
            applies(&condition, &[("aws:SourceArn", &["no ARN"])]),
            !want,
            "{condition}"
        );
    }
}

#[test]
fn keys_may_be_absent_and_have_many_values() {
    let two: Given<'_> = &[("aws:TagKeys", &["team", "stage"])];
    check(&[
        (r#"{"Null":{"aws:TagKeys":"true"}}"#, &[], true),
        (r#"{"Null":{"aws:TagKeys":"false"}}"#, &[], false),
        (r#"{"Null":{"aws:TagKeys":false}}"#, two, true),
        (r#"{"Null":{"aws:TagKeys":[true,false]}}"#, two, true),
        (r#"{"StringEqualsIfExists":{"aws:TagKeys":"x"}}"#, &[], true),
        (r#"{"StringEqualsIfExists":{"aws:TagKeys":"x"}}"#, two, false),
        (
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team","stage","owner"]}}"#,
            two,
            true,
        ),
        (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}"#, two, false),
        (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}"#, &[], true),
        (
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}"#,
            &[("aws:TagKeys", &[""])],
            true,
        ),
        (r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":"owner"}}"#, two, true),
        (r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":"team"}}"#, two, false),
        (r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}"#, two, true),
        (r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"owner"}}"#, two, false),
        (r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}"#, &[], false),
        (r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"team"}}"#, two, true),
        (r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"team"}}"#, &[], false),
        (
            r#"{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"team"}}"#,
            &[],
            true,
        ),
        (
            r#"{"ForAnyValue:Bool":{"aws:SecureTransport":"true"}}"#,
            &[("aws:SecureTransport", &["true"])],
            true,
        ),
        (
            r#"{"ForAnyValue:NumericLessThan":{"x.y:n":5}}"#,
            &[("x.y:n", &["9", "3"])],
            true,
        ),
        (
            r#"{"ForAllValues:NumericLessThan":{"x.y:n":5}}"#,
            &[("x.y:n", &["9", "3"])],
            false,
        ),
        (
            r#"{"ForAllValues:IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#,
            &[("aws:SourceIp", &["198.51.100.1"])],
            false,
        ),
        (
            r#"{"ForAnyValue:DateGreaterThan":{"x.y:t":"2020-01-01"}}"#,
            &[("x.y:t", &["2026-01-31T12:00:00Z"])],
            true,
        ),
    ]);
}

#[test]
fn variables_stand_for_values_in_which_nothing_is_special() {
    let tag = |value| [("aws:PrincipalTag/team", [value])];
    let cases = [
        (
            r#"{"StringEquals":{"aws:UserAgent":"${aws:username}"}}"#,
            "ada",
            "",
            true,
        ),
        (
            r#"{"StringLike":{"aws:UserAgent":"${aws:username}*"}}"#,
            "ada/1",
            "",
            true,
        ),
        (
            r#"{"StringEqualsIgnoreCase":{"aws:UserAgent":"${AWS:USERNAME}"}}"#,
            "ADA",
            "",
            true,
        ),
        (
            r#"{"StringLike":{"aws:UserAgent":"${aws:PrincipalTag/team}"}}"#,
            "anything",
            "*",
            false,
        ),
        (
            r#"{"StringLike":{"aws:UserAgent":"${aws:PrincipalTag/team}"}}"#,
            "*",
            "*",
            true,
        ),
        (
            r#"{"StringLike":{"aws:UserAgent":"a${*}b${?}${$}"}}"#,
            "a*b?$",
            "",
            true,
        ),
        (r#"{"StringLike":{"aws:UserAgent":"a${*}"}}"#, "ab", "", false),
        (
            r#"{"StringEquals":{"aws:UserAgent":"${aws:PrincipalTag/none, 'x y'}"}}"#,
            "x y",
            "",
            true,
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":"${aws:PrincipalTag/team, 'x'}"}}"#,
            "a",
            "a",
            true,
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":"${aws:PrincipalTag/none}"}}"#,
            "",
            "",
            false,
        ),
        (
            r#"{"StringNotEquals":{"aws:UserAgent":"${aws:PrincipalTag/none}"}}"#,
            "x",
            "",
            false,
        ),
        (
            r#"{"ForAnyValue:StringNotLike":{"aws:UserAgent":["y","${aws:PrincipalTag/none}*"]}}"#,
            "x",
            "",
            false,
        ),
        (
            r#"{"StringNotEquals":{"aws:UserAgent":"${aws:PrincipalTag/none, 'y'}"}}"#,
            "x",
            "",
            true,
        ),
        (
            r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/${aws:username}"}}"#,
            "",
            "",
            true,
        ),
    ];
    for (condition, agent, team, want) in cases {
        let team = tag(team);
        let given: Given<'_> = &[("aws:UserAgent", &[agent]), (team[0].0, &team[0].1)];
        assert_eq!(applies(condition, given), want, "{condition} {agent}");
    }
    // Before version 2012-10-17, it is a text like any other.
    let old =
        r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecr:*:*:${x"}}"#;
    assert!(hythe_rules::Policy::parse_identity(old).is_ok());
}

#[test]
fn every_tag_of_a_request_must_be_allowed() {
    let statement = r#"{"Effect":"Allow","Action":"ecr:PutImage","Resource":"*","Condition":{"StringLike":{"ecr:ImageTag":"dev-*"}}}"#;
    let identity = [named(policy(statement, PolicyGrammar::Identity).unwrap())];
    let (ada, owner) = (principal("1/ada"), account("1"));
    for (tags, want) in [
        (vec!["dev-1"], true),
        (vec!["dev-1", "release"], false),
        (vec!["dev-1", "dev-2"], true),
        (vec![], false),
    ] {
        let named = RequestContext {
            image_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..RequestContext::default()
        };
        let context = ConditionContext {
            request: Some(&named),
            ..ConditionContext::default()
        };
        let request = Request {
            requester: requester("1/ada", &ada),
            action: Action::PutImage,
            resource: WEB,
            owner: &owner,
            context: &context,
        };
        let policies = Policies {
            identity: &identity,
            ..Policies::default()
        };
        assert_eq!(decide(&request, &policies).is_allowed(), want, "{tags:?}");
    }
}

fn check(cases: &[(&str, Given<'_>, bool)]) {
    for (condition, given, want) in cases {
        assert_eq!(applies(condition, given), *want, "{condition} {given:?}");
    }
}

/// In a denial, what is not known must not let anything pass that the author wanted to stop, where AWS's rules have a choice: the
/// operators themselves mean the same there as in what is allowed.
#[test]
fn sets_of_values_are_asked_for_in_denials() {
    let denies = |condition: &str, given: Given<'_>| {
        let statements = format!(
            r#"{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{condition}}}"#
        );
        let identity = [named(policy(&statements, PolicyGrammar::Identity).unwrap())];
        let (ada, owner, given) = (principal("1/ada"), account("1"), attributes(given));
        let context = ConditionContext {
            given: Some(&given),
            ..ConditionContext::default()
        };
        let request = Request {
            requester: requester("1/ada", &ada),
            action: Action::TagResource,
            resource: WEB,
            owner: &owner,
            context: &context,
        };
        let policies = Policies {
            identity: &identity,
            ..Policies::default()
        };
        answer(&decide(&request, &policies)) == "deny"
    };
    let two: Given<'_> = &[("aws:TagKeys", &["team", "stage"])];
    let one: Given<'_> = &[("aws:TagKeys", &["team"])];
    let none: Given<'_> = &[];
    // condition; denied with both, with `team` alone, without any
    let cases = [
        (
            r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"stage"}}"#,
            [true, false, false],
        ),
        (
            r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"team"}}"#,
            [true, false, false],
        ),
        (
            r#"{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"stage"}}"#,
            [true, false, true],
        ),
        (
            r#"{"ForAnyValue:StringNotEqualsIfExists":{"aws:TagKeys":"team"}}"#,
            [true, false, true],
        ),
        (
            r#"{"ForAnyValue:StringLike":{"aws:TagKeys":["st*","x"]}}"#,
            [true, false, false],
        ),
        (
            r#"{"ForAnyValue:StringNotLike":{"aws:TagKeys":"t*"}}"#,
            [true, false, false],
        ),
        // Of no values, all match: a denial with it stops requests without any.
        (
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}"#,
            [false, true, true],
        ),
        (
            r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":"stage"}}"#,
            [false, true, true],
        ),
        (
            r#"{"ForAllValues:StringEqualsIfExists":{"aws:TagKeys":"team"}}"#,
            [false, true, true],
        ),
        (
            r#"{"ForAllValues:StringNotLike":{"aws:TagKeys":["st*","x"]}}"#,
            [false, true, true],
        ),
        // With `Null` beside it, only requests that have some.
        (
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"team"},"Null":{"aws:TagKeys":"false"}}"#,
            [false, true, false],
        ),
        (r#"{"Null":{"aws:TagKeys":"true"}}"#, [false, false, true]),
        // Without a set operator, one of the values is enough, and of none a negated operator holds.
        (r#"{"StringNotEquals":{"aws:TagKeys":"team"}}"#, [false, false, true]),
        (
            r#"{"StringNotEqualsIfExists":{"aws:TagKeys":"team"}}"#,
            [false, false, true],
        ),
        (
            r#"{"StringEqualsIfExists":{"aws:UserAgent":"curl"}}"#,
            [true, true, true],
        ),
        (r#"{"StringEquals":{"aws:UserAgent":"curl"}}"#, [false, false, false]),
        // A variable without a value excepts nothing from a denial.
        (
            r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":"${aws:PrincipalTag/team}"}}"#,
            [true, true, true],
        ),
        (
            r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"${aws:PrincipalTag/team}"}}"#,
            [true, true, false],
        ),
        (
            r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"${aws:PrincipalTag/team}"}}"#,
            [false, false, false],
        ),
    ];
    for (condition, want) in cases {
        let found = [two, one, none].map(|given| denies(condition, given));
        assert_eq!(found, want, "{condition}");
    }
}
