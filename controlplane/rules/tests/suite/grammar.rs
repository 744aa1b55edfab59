// SPDX-License-Identifier: Apache-2.0
//! What may stand in a policy, and what is said about the rest.

use hythe_rules::{MAX_POLICY_BYTES, MAX_STATEMENTS, ManagedPolicy, Policy, PolicyError, PolicyFinding, PolicyGrammar};
use proptest::prelude::*;

use crate::generate::case;
use crate::support::{document, policy, principal};

const ALLOW: &str = r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*"}"#;

fn refused(statement: &str, grammar: PolicyGrammar) -> (String, String) {
    let error = Policy::parse(&document(statement), grammar).expect_err(statement);
    (error.pointer().to_owned(), error.reason())
}

#[test]
fn documents_that_are_not_understood_are_refused_with_their_place() {
    let cases = [
        ("{", ""),
        ("[]", ""),
        (r#"{"Version":"2012-10-17"}"#, "/Statement"),
        (r#"{"Version":"2011-10-17","Statement":[]}"#, "/Version"),
        (r#"{"Version":"2012-10-17","Statement":[]}"#, "/Statement"),
        (r#"{"Version":"2012-10-17","Statements":[]}"#, "/Statements"),
        (
            r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#,
            "/Version",
        ),
        (r#"{"Version":"2012-10-17","Id":7,"Statement":[]}"#, "/Id"),
        (r#"{"Statement":{"Effect":"allow"}}"#, "/Statement/Effect"),
    ];
    for (text, pointer) in cases {
        assert_eq!(Policy::parse_identity(text).unwrap_err().pointer(), pointer, "{text}");
    }
    assert!(matches!(
        Policy::parse_identity(&" ".repeat(MAX_POLICY_BYTES + 1)),
        Err(PolicyError::TooLong(_))
    ));
    let many = |count| document(&vec![r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#; count].join(","));
    assert!(Policy::parse_identity(&many(MAX_STATEMENTS)).is_ok());
    assert_eq!(
        Policy::parse_identity(&many(MAX_STATEMENTS + 1)).unwrap_err().pointer(),
        "/Statement"
    );
    let deep = "[".repeat(5000);
    assert!(matches!(Policy::parse_identity(&deep), Err(PolicyError::Syntax(_))));
}

#[test]
fn statements_that_are_not_understood_are_refused_with_their_place() {
    let cases = [
        (r#"{"Effect":"Allow","Action":"ecr:*"}"#, "/Statement/0/Resource"),
        (r#"{"Effect":"Allow","Resource":"*"}"#, "/Statement/0/Action"),
        (
            r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#,
            "/Statement/0/Action",
        ),
        (
            r#"{"Effect":"Allow","Action":["ecr:*","PutImage"],"Resource":"*"}"#,
            "/Statement/0/Action/1",
        ),
        (
            r#"{"Effect":"Allow","Action":"e*:x","Resource":"*"}"#,
            "/Statement/0/Action",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","NotAction":"ecr:*","Resource":"*"}"#,
            "/Statement/0/NotAction",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","NotResource":"*"}"#,
            "/Statement/0/NotResource",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":["*","web"]}"#,
            "/Statement/0/Resource/1",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:repository/x"}"#,
            "/Statement/0/Resource",
        ),
        (
            r#"{"Effect":"Deny","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/${aws:usrname}"}"#,
            "/Statement/0/Resource",
        ),
        (
            r#"{"Effect":"Deny","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/${aws:username"}"#,
            "/Statement/0/Resource",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Principal":"*"}"#,
            "/Statement/0/Principal",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","NotPrincipal":"*"}"#,
            "/Statement/0/NotPrincipal",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Conditions":{}}"#,
            "/Statement/0/Conditions",
        ),
        (
            r#"{"Effect":"Allow","Effect":"Deny","Action":"ecr:*","Resource":"*"}"#,
            "/Statement/0/Effect",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","a/b~":{}}"#,
            "/Statement/0/a~1b~0",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Sid":1}"#,
            "/Statement/0/Sid",
        ),
        (
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Sid":"no spaces"}"#,
            "/Statement/0/Sid",
        ),
        (
            r#"{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}"#,
            "/Statement/1/Sid",
        ),
    ];
    for (statement, pointer) in cases {
        assert_eq!(refused(statement, PolicyGrammar::Identity).0, pointer, "{statement}");
    }
}

#[test]
fn conditions_that_are_not_understood_are_refused_with_their_place() {
    let cases = [
        (r"[]", ""),
        (r#"{"StringEqual":{"aws:UserAgent":"x"}}"#, "/StringEqual"),
        (r#"{"stringequals":{"aws:UserAgent":"x"}}"#, "/stringequals"),
        (r#"{"NullIfExists":{"aws:UserAgent":"true"}}"#, "/NullIfExists"),
        (r#"{"ForAnyValue:Null":{"aws:UserAgent":"true"}}"#, "/ForAnyValue:Null"),
        (
            r#"{"ForSomeValue:Bool":{"aws:UserAgent":"true"}}"#,
            "/ForSomeValue:Bool",
        ),
        (r#"{"StringEquals":{}}"#, "/StringEquals"),
        (
            r#"{"StringEquals":{"aws:UserAgents":"x"}}"#,
            "/StringEquals/aws:UserAgents",
        ),
        (r#"{"StringEquals":{"s3:prefix":"x"}}"#, "/StringEquals/s3:prefix"),
        (
            r#"{"StringEquals":{"aws:UserAgent":[]}}"#,
            "/StringEquals/aws:UserAgent",
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":["x",null]}}"#,
            "/StringEquals/aws:UserAgent/1",
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":"x","AWS:useragent":"y"}}"#,
            "/StringEquals/AWS:useragent",
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":"x","aws:UserAgent":"y"}}"#,
            "/StringEquals/aws:UserAgent",
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":"x"},"StringEquals":{"aws:UserAgent":"y"}}"#,
            "/StringEquals",
        ),
        (
            r#"{"StringEquals":{"aws:UserAgent":"${nothing}"}}"#,
            "/StringEquals/aws:UserAgent",
        ),
        (r#"{"NumericEquals":{"a.b:c":"ten"}}"#, "/NumericEquals/a.b:c"),
        (
            r#"{"NumericEquals":{"a.b:c":"${aws:username}"}}"#,
            "/NumericEquals/a.b:c",
        ),
        (
            r#"{"DateEquals":{"aws:CurrentTime":"today"}}"#,
            "/DateEquals/aws:CurrentTime",
        ),
        (r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "/Bool/aws:SecureTransport"),
        (r#"{"BinaryEquals":{"a.b:c":"***"}}"#, "/BinaryEquals/a.b:c"),
        (
            r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","192.0.2.0/64"]}}"#,
            "/IpAddress/aws:SourceIp/1",
        ),
        (
            r#"{"ArnLike":{"aws:SourceArn":"arn:aws:ecr"}}"#,
            "/ArnLike/aws:SourceArn",
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/a/b":{}}}"#,
            "/StringEquals/aws:PrincipalTag~1a~1b",
        ),
    ];
    for (condition, pointer) in cases {
        let statement = format!(r#"{{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{condition}}}"#);
        let (at, reason) = refused(&statement, PolicyGrammar::Identity);
        assert_eq!(at, format!("/Statement/0/Condition{pointer}"), "{condition}");
        assert!(!reason.is_empty());
    }
}

#[test]
fn principals_are_read_strictly() {
    let cases = [
        (r#""*""#, true),
        (r#"{"AWS":"*"}"#, true),
        (
            r#"{"AWS":["111111111111","arn:aws:iam::111111111111:root","arn:aws:iam::111111111111:user/ada",
                "arn:aws:iam::111111111111:role/ci","arn:aws:sts::111111111111:assumed-role/ci/run@7"]}"#,
            true,
        ),
        (r#"{"AWS":"111111111111","Service":"lambda.amazonaws.com"}"#, true),
        (
            r#"{"Federated":"arn:aws:iam::111111111111:oidc-provider/gitlab.example.com/x"}"#,
            true,
        ),
        (r#"{"AWS":"arn:aws:iam::1:user/ada"}"#, false),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/"}"#, false),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/*"}"#, false),
        (r#"{"AWS":"arn:aws:iam::111111111111:group/devs"}"#, false),
        (r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/ci"}"#, false),
        (r#"{"Service":"*"}"#, false),
        (r#"{"Federated":"*"}"#, false),
        (r#"{"Federated":"token.actions.githubusercontent.com"}"#, false),
        (r#"{"Canonical":"x"}"#, false),
        (r#"{"AWS":[]}"#, false),
        (r"{}", false),
        (r#""111111111111""#, false),
    ];
    for (principal, is_valid) in cases {
        for name in ["Principal", "NotPrincipal"] {
            let text = document(&format!(r#"{{"Effect":"Deny","{name}":{principal},"Action":"ecr:*"}}"#));
            assert_eq!(Policy::parse_resource(&text).is_ok(), is_valid, "{principal}");
        }
    }
    let (at, _) = refused(
        r#"{"Effect":"Allow","Principal":{"AWS":["*","x"]},"Action":"ecr:*"}"#,
        PolicyGrammar::Repository,
    );
    assert_eq!(at, "/Statement/0/Principal/AWS/1");
}

#[test]
fn every_kind_of_policy_has_its_own_actions_and_members() {
    use PolicyGrammar::{Identity, Registry, Repository, Trust};
    let everybody = |action: &str| format!(r#"{{"Effect":"Allow","Principal":"*","Action":"{action}"}}"#);
    let cases = [
        (everybody("ecr:PutImage"), Repository, None),
        (everybody("*"), Repository, None),
        (
            everybody("ecr:GetAuthorizationToken"),
            Repository,
            Some("/Statement/0/Action"),
        ),
        (everybody("s3:GetObject"), Repository, Some("/Statement/0/Action")),
        (everybody("iam:*"), Registry, Some("/Statement/0/Action")),
        (everybody("sts:AssumeRole"), Trust, None),
        (everybody("ecr:PutImage"), Trust, Some("/Statement/0/Action")),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}"#.to_owned(),
            Trust,
            Some("/Statement/0/Resource"),
        ),
        (
            r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#.to_owned(),
            Trust,
            Some("/Statement/0/Principal"),
        ),
        (
            r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}"#.to_owned(),
            Identity,
            None,
        ),
        (
            r#"{"Sid":"with spaces","Effect":"Allow","Principal":"*","Action":"ecr:*"}"#.to_owned(),
            Repository,
            None,
        ),
    ];
    for (statement, grammar, pointer) in cases {
        let result = Policy::parse(&document(&statement), grammar);
        let found = result.as_ref().err().map(PolicyError::pointer);
        assert_eq!(found, pointer, "{statement} {grammar:?}");
    }
}

#[test]
fn policies_that_say_the_same_are_equal() {
    let identity = |text: &str| Policy::parse_identity(text).unwrap();
    let written = identity(
        r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":["ecr:PutImage","ecr:BatchGetImage"],"Resource":"*",
            "Condition":{"Bool":{"aws:SecureTransport":true},"StringLike":{"ecr:ImageTag":["a","b"]}}},
            {"Effect":"Deny","Action":"ecr:Delete*","Resource":["*"]}]}"#,
    );
    let reordered = identity(
        r#"{"Statement":[{"Resource":"*","Action":["ecr:delete*"],"Effect":"Deny"},
            {"Condition":{"StringLike":{"ECR:imagetag":["b","a"]},"Bool":{"aws:securetransport":"true"}},
             "Action":["ECR:batchgetimage","ecr:PutImage"],"Effect":"Allow","Resource":["*"],"Sid":"A"}],"Version":"2012-10-17"}"#,
    );
    assert!(
        written.is_equivalent(&reordered),
        "{}\n{}",
        written.canonical(),
        reordered.canonical()
    );
    assert!(!written.is_equivalent(&identity(&document(ALLOW))));
    let resource = |principal: &str| {
        let statement = format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"ecr:*"}}"#);
        policy(&statement, PolicyGrammar::Repository).unwrap()
    };
    assert!(
        resource(r#"{"AWS":"111111111111"}"#).is_equivalent(&resource(r#"{"AWS":["arn:aws:iam::111111111111:root"]}"#))
    );
    assert!(resource(r#""*""#).is_equivalent(&resource(r#"{"AWS":"*"}"#)));
    assert!(!resource(r#""*""#).is_equivalent(&resource(r#"{"AWS":"111111111111"}"#)));
}

#[test]
fn the_one_form_of_a_policy_is_a_policy_that_says_the_same() {
    use PolicyGrammar::{Identity, Registry, Repository, Trust};
    let cases = [
        (
            Identity,
            r#"{"Sid":"A","Effect":"Allow","Action":["ecr:*","s3:GetObject","ECR:batchgetimage"],"Resource":"*"}"#,
        ),
        (
            Identity,
            r#"{"Effect":"Deny","NotAction":"ecr:PutImage","NotResource":"arn:aws:ecr:*:*:repository/a"}"#,
        ),
        (
            Identity,
            r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"StringLike":{"ecr:ImageTag":["b","a"]},
                "StringEquals":{"aws:PrincipalTag/Team":"x"},"Bool":{"aws:SecureTransport":true}}}"#,
        ),
        (
            Repository,
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"}"#,
        ),
        (
            Repository,
            r#"{"Effect":"Deny","NotPrincipal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/a","*"]},"Action":"ecr:*"}"#,
        ),
        (
            Registry,
            r#"{"Effect":"Allow","Principal":{"AWS":"111111111111","Service":"ecr.amazonaws.com"},"Action":"ecr:*","Resource":"*"}"#,
        ),
        (
            Trust,
            r#"{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::000000000000:oidc-provider/issuer.example.com"},
                "Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"issuer.example.com:aud":"x"}}}"#,
        ),
    ];
    for (grammar, statement) in cases {
        let written = policy(statement, grammar).unwrap_or_else(|| panic!("{statement}"));
        let again = Policy::parse(written.canonical(), grammar);
        let again = again.unwrap_or_else(|error| panic!("{}: {error}", written.canonical()));
        assert_eq!(again.canonical(), written.canonical());
    }
    let written = policy(cases[0].1, Identity).unwrap();
    assert_eq!(
        written.canonical(),
        r#"{"Statement":[{"Action":["ecr:*","ecr:BatchGetImage","s3:getobject"],"Effect":"Allow","Resource":["*"],"Sid":"A"}],"Version":"2012-10-17"}"#
    );
}

#[test]
fn a_policy_knows_what_it_asks_about() {
    let statement = r#"{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*",
        "Condition":{"StringEquals":{"ecr:ResourceTag/Team":"${aws:username}"}}}"#;
    let policy = policy(statement, PolicyGrammar::Identity).unwrap();
    for (prefix, want) in [
        ("ecr:ResourceTag/", true),
        ("aws:ResourceTag/", false),
        ("aws:principaltag/", true),
        ("aws:username", true),
        ("aws:SourceIp", false),
    ] {
        assert_eq!(policy.needs(prefix), want, "{prefix}");
    }
}

#[test]
fn authors_are_told_what_they_may_not_want() {
    let found = |statement: &str, grammar| {
        let findings = policy(statement, grammar).unwrap().findings(Some(&principal("1/ada")));
        let name = |finding: &PolicyFinding| match finding {
            PolicyFinding::Public(_) => "public",
            PolicyFinding::EverybodyMayDelete(_) => "delete",
            PolicyFinding::LocksOutCaller(_) => "locked",
            PolicyFinding::MayLockOutCaller(_) => "perhaps",
            PolicyFinding::TrustsWholeIssuer(_) => "issuer",
            PolicyFinding::UnknownAction(_) => "unknown",
        };
        findings.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let cases = [
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"}"#,
            "public",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:*"}"#,
            "public delete",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:PurgeImage"}"#,
            "public delete",
        ),
        (
            r#"{"Effect":"Allow","NotPrincipal":{"AWS":"222222222222"},"Action":"ecr:BatchDelete*"}"#,
            "public delete",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"*"}"#,
            "",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}"#,
            "",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:Get*","Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}}"#,
            "public",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:Get*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}"#,
            "public",
        ),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"ecr:Get*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}"#,
            "public",
        ),
        (r#"{"Effect":"Deny","Principal":"*","Action":"ecr:*"}"#, "locked"),
        (
            r#"{"Effect":"Deny","Principal":{"AWS":"111111111111"},"Action":"ecr:*Policy"}"#,
            "locked",
        ),
        (
            r#"{"Effect":"Deny","Principal":{"AWS":"222222222222"},"Action":"*"}"#,
            "",
        ),
        (r#"{"Effect":"Deny","Principal":"*","Action":"ecr:Batch*"}"#, ""),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"ecr:*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}"#,
            "perhaps",
        ),
        (
            r#"{"Effect":"Deny","Principal":{"AWS":"222222222222"},"Action":"ecr:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}"#,
            "",
        ),
        (
            r#"{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":["ecr:GetDownloadUrlForLayers","ecr:BatchGetImage","ecr:Pull*"]}"#,
            "unknown unknown",
        ),
        (
            r#"{"Effect":"Deny","Principal":{"AWS":"222222222222"},"NotAction":"ecr:BatchGetImages"}"#,
            "unknown",
        ),
    ];
    for (statement, want) in cases {
        assert_eq!(found(statement, PolicyGrammar::Repository), want, "{statement}");
        assert_eq!(found(statement, PolicyGrammar::Registry), want, "{statement}");
    }

    let trust = |action: &str, condition: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"Federated":"arn:aws:iam::111111111111:oidc-provider/ci.example.com"}},
                "Action":"{action}"{condition}}}"#
        )
    };
    let when =
        |operator: &str, key: &str, value: &str| format!(r#","Condition":{{"{operator}":{{"{key}":"{value}"}}}}"#);
    let web = "sts:AssumeRoleWithWebIdentity";
    let cases = [
        (trust(web, ""), "issuer"),
        (trust("sts:*", ""), "issuer"),
        (trust("sts:AssumeRole", ""), ""),
        (
            trust(web, &when("StringEquals", "ci.example.com:aud", "hythe")),
            "issuer",
        ),
        (trust(web, &when("StringEquals", "ci.example.com:sub", "main")), ""),
        (
            trust(web, &when("StringLike", "ci.example.com:kubernetes.io/namespace", "a*")),
            "",
        ),
        (trust(web, &when("StringLike", "ci.example.com:sub", "*")), "issuer"),
        (
            trust(web, &when("StringNotEquals", "ci.example.com:sub", "main")),
            "issuer",
        ),
        (trust(web, &when("IpAddress", "aws:SourceIp", "192.0.2.0/24")), "issuer"),
        (trust(web, "").replace("Allow", "Deny"), ""),
    ];
    for (statement, want) in cases {
        assert_eq!(found(&statement, PolicyGrammar::Trust), want, "{statement}");
    }
}

#[test]
fn managed_policies_are_policies() {
    for policy in ManagedPolicy::ALL {
        let read = Policy::parse_identity(policy.document()).unwrap();
        assert!(read.is_equivalent(policy.policy()));
        assert_eq!(read.statements().len(), 1, "{policy}");
        assert_eq!(&*policy.named().name, policy.as_str());
    }
}

proptest! {
    #[test]
    fn reading_never_panics(text in ".*") {
        for grammar in [PolicyGrammar::Identity, PolicyGrammar::Repository, PolicyGrammar::Trust] {
            let _ = Policy::parse(&text, grammar);
        }
    }

    #[test]
    fn reading_odd_statements_never_panics(
        effect in "Allow|Deny|x", action in "(ecr:)?[A-Za-z*?:]{0,12}", resource in "(arn:aws:ecr:)?[a-z*?:/${},']{0,20}",
        operator in "(ForAllValues:)?(StringLike|ArnLike|DateEquals|IpAddress)(IfExists)?", value in "[0-9a-z:./${}*-]{0,24}",
    ) {
        let condition = format!(r#"{{"{operator}":{{"aws:UserAgent":"{value}"}}}}"#);
        let statement = format!(
            r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}","Condition":{condition}}}"#
        );
        let _ = Policy::parse_identity(&document(&statement));
    }

    #[test]
    fn the_canonical_form_does_not_depend_on_the_layout(case in case()) {
        for document in case.identity {
            let compact = Policy::parse_identity(&document.to_string()).unwrap();
            let pretty = Policy::parse_identity(&serde_json::to_string_pretty(&document).unwrap()).unwrap();
            prop_assert_eq!(&compact, &pretty);
        }
    }
}

#[test]
fn actions_that_there_are_not_are_told_with_their_places() {
    let told = |statement: &str, grammar| {
        let findings = policy(statement, grammar).unwrap().findings(None);
        let text = |finding: &PolicyFinding| match finding {
            PolicyFinding::UnknownAction(unknown) => format!("{}: {unknown}", unknown.pointer),
            other => panic!("{other:?}"),
        };
        findings.iter().map(text).collect::<Vec<_>>()
    };
    let statement = r#"{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayers","s3:Nothing"],"Resource":"*"}"#;
    assert_eq!(
        told(statement, PolicyGrammar::Identity),
        [
            "/Statement/0/Action/1: there is no action `ecr:GetDownloadUrlForLayers`, so that nothing is said by it: is \
          `ecr:GetDownloadUrlForLayer` meant?"
        ]
    );
    let statement = r#"{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:Become"}"#;
    assert_eq!(
        told(statement, PolicyGrammar::Trust),
        ["/Statement/0/Action: there is no action `sts:Become`, so that nothing is said by it"]
    );
    for managed in ManagedPolicy::ALL {
        assert_eq!(managed.policy().findings(None), [], "{managed:?}");
    }
}
