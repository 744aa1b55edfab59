// SPDX-License-Identifier: Apache-2.0
//! Policies and requests, made of few words so that they often meet.

use hythe_access::Action;
use hythe_rules::PolicyGrammar;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::support::{PROVIDER, WEB};

/// A request with all policies that have a say in it.
#[derive(Clone, Debug)]
pub struct Case {
    pub who: &'static str,
    pub action: Action,
    pub resource: &'static str,
    pub circumstances: Circumstances,
    pub identity: Vec<Value>,
    pub boundary: Option<Value>,
    pub session: Option<Value>,
    pub repository: Option<Value>,
    pub registry: Option<Value>,
    pub trust: Option<Value>,
}

/// What conditions can ask about.
#[derive(Clone, Debug)]
pub struct Circumstances {
    pub is_timed: bool,
    pub source_ip: Option<&'static str>,
    pub is_secure: Option<bool>,
    pub user_agent: Option<&'static str>,
    pub resource_team: Option<&'static str>,
    pub principal_team: Option<&'static str>,
    pub request_tags: Vec<(&'static str, &'static str)>,
    pub tag_keys: Vec<&'static str>,
    pub image_tags: Vec<&'static str>,
    pub sub: Option<&'static str>,
    pub groups: Vec<&'static str>,
    pub age: Option<&'static str>,
}

const TEXTS: &[&str] = &[
    "team-a",
    "team-b",
    "ada",
    "Ada",
    "v1",
    "latest",
    "team-*",
    "*",
    "a?a",
    "",
    "docker/29",
    "repo:a/b",
];
const VARIABLES: &[&str] = &[
    "${aws:username}",
    "${aws:PrincipalTag/team}",
    "${aws:principaltag/TEAM, 'team-a'}",
    "${token.example.com:sub}",
    "${token.example.com:groups}",
    "v${*}",
    "${aws:username}*",
];

pub fn case() -> impl Strategy<Value = Case> {
    let who = select(vec![
        "nobody", "1", "1/ada", "1/ada", "1/ada", "1/bob", "1/ci/run", "1/ci/run", "2", "2/eve", "2/eve", "2/ci/run",
        "admin", "github", "lambda",
    ]);
    let target = select(vec![
        (Action::BatchGetImage, WEB),
        (Action::BatchGetImage, WEB),
        (Action::PutImage, WEB),
        (Action::BatchGetImage, "arn:aws:ecr:local:111111111111:repository/ada/x"),
        (Action::CreateRepository, WEB),
        (Action::GetAuthorizationToken, "*"),
        (Action::CreateUser, "*"),
        (Action::AssumeRole, "arn:aws:iam::111111111111:role/deploy"),
        (
            Action::AssumeRoleWithWebIdentity,
            "arn:aws:iam::111111111111:role/deploy",
        ),
    ]);
    let of_holder = (
        vec(policy(PolicyGrammar::Identity), 0..3),
        weighted(0.3, policy(PolicyGrammar::Identity)),
        weighted(0.3, policy(PolicyGrammar::Identity)),
    );
    let of_resource = (
        weighted(0.6, policy(PolicyGrammar::Repository)),
        weighted(0.4, policy(PolicyGrammar::Registry)),
        weighted(0.7, policy(PolicyGrammar::Trust)),
    );
    (who, target, circumstances(), of_holder, of_resource).prop_map(
        |(who, (action, resource), circumstances, (identity, boundary, session), (repository, registry, trust))| Case {
            who,
            action,
            resource,
            circumstances,
            identity,
            boundary,
            session,
            repository,
            registry,
            trust,
        },
    )
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    let team = || weighted(0.6, select(vec!["team-a", "team-b", "*"]));
    let tag = || select(vec!["team", "Team", "stage"]);
    let of_request = (
        any::<bool>(),
        weighted(
            0.8,
            select(vec!["192.0.2.7", "198.51.100.1", "2001:db8::7", "::ffff:192.0.2.7"]),
        ),
        proptest::option::of(any::<bool>()),
        weighted(0.5, select(vec!["docker/29", "team-a", ""])),
        vec((tag(), select(vec!["team-a", "v1"])), 0..3),
        vec(tag(), 0..2),
        vec(select(vec!["v1", "latest", "team-a"]), 0..3),
    );
    let of_session = (
        weighted(0.5, select(vec!["repo:a/b", "ada", "v*"])),
        vec(select(vec!["team-a", "team-b", "ada", ""]), 0..3),
        weighted(
            0.5,
            select(vec!["10", "1769860800", "x", "2026-01-31T12:00:00Z", "YWRh"]),
        ),
    );
    (of_request, of_session, team(), team()).prop_map(
        |(
            (is_timed, source_ip, is_secure, user_agent, request_tags, tag_keys, image_tags),
            (sub, groups, age),
            resource_team,
            principal_team,
        )| Circumstances {
            is_timed,
            source_ip,
            is_secure,
            user_agent,
            resource_team,
            principal_team,
            request_tags,
            tag_keys,
            image_tags,
            sub,
            groups,
            age,
        },
    )
}

fn policy(grammar: PolicyGrammar) -> impl Strategy<Value = Value> {
    let version = prop_oneof![9 => Just("2012-10-17"), 1 => Just("2008-10-17")];
    let one_or_many = vec(statement(grammar), 1..4);
    (version, one_or_many, any::<bool>()).prop_map(|(version, mut statements, is_list)| {
        let statements = match (statements.len(), is_list) {
            (1, false) => statements.remove(0),
            _ => Value::Array(statements),
        };
        let policy = json!({"Version": version, "Statement": statements});
        if version == "2012-10-17" {
            return policy;
        }
        // Where it is no variable, it is no ARN either.
        let text = policy
            .to_string()
            .replace("${aws:PrincipalArn}", "arn:aws:iam::111111111111:role/ci");
        serde_json::from_str(&text).unwrap()
    })
}

fn statement(grammar: PolicyGrammar) -> impl Strategy<Value = Value> {
    let effect = prop_oneof![4 => Just("Allow"), 1 => Just("Deny")];
    let actions = vec(select(actions(grammar)), 1..3);
    let resources = vec(resource(), 1..3);
    let negations = (
        weighted(0.1, Just(())),
        weighted(0.1, Just(())),
        weighted(0.15, Just(())),
    );
    let conditions = weighted(0.4, vec(condition(), 1..3));
    let has_resource = any::<bool>();
    (
        effect,
        principals(),
        actions,
        resources,
        negations,
        conditions,
        has_resource,
    )
        .prop_map(
            move |(
                effect,
                principals,
                actions,
                resources,
                (all_but_actions, all_but_resources, all_but),
                conditions,
                has,
            )| {
                let mut statement = Map::new();
                statement.insert("Effect".to_owned(), json!(effect));
                if grammar != PolicyGrammar::Identity {
                    let name = if all_but.is_some() { "NotPrincipal" } else { "Principal" };
                    statement.insert(name.to_owned(), principals);
                }
                let name = if all_but_actions.is_some() {
                    "NotAction"
                } else {
                    "Action"
                };
                statement.insert(name.to_owned(), json!(actions));
                if grammar == PolicyGrammar::Identity || (grammar != PolicyGrammar::Trust && has) {
                    let name = if all_but_resources.is_some() {
                        "NotResource"
                    } else {
                        "Resource"
                    };
                    statement.insert(name.to_owned(), json!(resources));
                }
                if let Some(conditions) = conditions {
                    let mut operators: Map<String, Value> = Map::new();
                    for (operator, key, values) in conditions {
                        let keys = operators
                            .entry(operator)
                            .or_insert_with(|| json!({}))
                            .as_object_mut()
                            .unwrap();
                        // A key in other letters would be the same key twice.
                        if !keys.keys().any(|other| other.eq_ignore_ascii_case(&key)) {
                            keys.insert(key, values);
                        }
                    }
                    statement.insert("Condition".to_owned(), Value::Object(operators));
                }
                Value::Object(statement)
            },
        )
}

fn actions(grammar: PolicyGrammar) -> Vec<&'static str> {
    match grammar {
        PolicyGrammar::Identity => vec![
            "*",
            "*",
            "ecr:*",
            "ECR:batchgetimage",
            "ecr:Batch*",
            "ecr:?utImage",
            "ecr:GetAuthorizationToken",
            "iam:*",
            "sts:AssumeRole*",
            "sts:AssumeRole",
        ],
        PolicyGrammar::Repository | PolicyGrammar::Registry => {
            vec![
                "*",
                "ecr:*",
                "ECR:batchgetimage",
                "ecr:Batch*",
                "ecr:?utImage",
                "ecr:CreateRepository",
            ]
        }
        PolicyGrammar::Trust => vec!["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:*", "*"],
    }
}

fn resource() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "*",
        "*",
        WEB,
        "arn:aws:ecr:*:*:repository/team-a/*",
        "arn:aws:ecr:*:*:repository/team-b/*",
        "arn:aws:ecr:*:111111111111:*",
        "arn:aws:ecr:local:111111111111:repository/${aws:PrincipalTag/team}/*",
        "arn:aws:ecr:*:*:repository/${aws:username}/*",
        "arn:aws:ecr:*:${aws:PrincipalAccount}:repository/*/${aws:username, 'web'}",
        "arn:aws:ecr:*:*:repository/team${*}a/*",
        "arn:aws:iam::111111111111:role/?eploy",
        "${aws:PrincipalArn}*",
    ])
}

fn principals() -> impl Strategy<Value = Value> {
    let listed = select(vec![
        "*",
        "*",
        "111111111111",
        "222222222222",
        "999999999999",
        "arn:aws:iam::111111111111:root",
        "arn:aws:iam::222222222222:root",
        "arn:aws:iam::111111111111:user/ada",
        "arn:aws:iam::111111111111:user/ada",
        "arn:aws:iam::222222222222:user/eve",
        "arn:aws:iam::111111111111:role/ci",
        "arn:aws:iam::111111111111:role/ci",
        "arn:aws:sts::111111111111:assumed-role/ci/run",
        "arn:aws:sts::111111111111:assumed-role/ci/other",
    ]);
    prop_oneof![
        1 => Just(json!("*")),
        6 => vec(listed.clone(), 1..4).prop_map(|listed| json!({ "AWS": listed })),
        1 => Just(json!({ "Federated": PROVIDER })),
        1 => Just(json!({ "Federated": format!("{PROVIDER}/x") })),
        1 => listed.prop_map(|aws| json!({ "AWS": aws, "Service": ["lambda.amazonaws.com"] })),
    ]
}

fn condition() -> impl Strategy<Value = (String, String, Value)> {
    let text = || prop_oneof![3 => select(TEXTS), 2 => select(VARIABLES)];
    let of_texts = (
        select(vec![
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
        ]),
        vec(text(), 1..3).prop_map(|values| json!(values)),
    );
    let arns = vec![
        "*",
        "arn:aws:iam::111111111111:user/*",
        "arn:aws:iam::*:role/ci",
        "arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}",
        "${aws:PrincipalArn}",
    ];
    let of_arns = (
        select(vec!["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]),
        vec(select(arns), 1..3).prop_map(|values| json!(values)),
    );
    let numeric = [
        "Equals",
        "NotEquals",
        "LessThan",
        "LessThanEquals",
        "GreaterThan",
        "GreaterThanEquals",
    ];
    let of_numbers = (
        select(numeric.to_vec()).prop_map(|name| format!("Numeric{name}")),
        vec(select(vec![json!(10), json!("9.5"), json!(1_769_860_800)]), 1..3).prop_map(Value::Array),
    );
    let dates = vec!["2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z", "1769860800", "10"];
    let of_dates = (
        select(numeric.to_vec()).prop_map(|name| format!("Date{name}")),
        vec(select(dates), 1..3).prop_map(|values| json!(values)),
    );
    let networks = vec![
        "192.0.2.0/24",
        "198.51.100.1",
        "0.0.0.0/0",
        "2001:db8::/32",
        "192.0.2.7/32",
    ];
    let of_addresses = (
        select(vec!["IpAddress", "NotIpAddress"]),
        vec(select(networks), 1..3).prop_map(|values| json!(values)),
    );
    let truth = || select(vec![json!(true), json!("false"), json!("true")]);
    let operator = prop_oneof![
        6 => of_texts.prop_map(|(name, values)| (name.to_owned(), values)),
        2 => of_arns.prop_map(|(name, values)| (name.to_owned(), values)),
        1 => of_numbers,
        1 => of_dates,
        2 => of_addresses.prop_map(|(name, values)| (name.to_owned(), values)),
        1 => truth().prop_map(|value| ("Bool".to_owned(), value)),
        1 => Just(("BinaryEquals".to_owned(), json!("YWRh"))),
        1 => truth().prop_map(|value| ("Null".to_owned(), value)),
    ];
    let key = select(vec![
        "aws:SourceIp",
        "AWS:sourceip",
        "aws:SecureTransport",
        "aws:CurrentTime",
        "aws:EpochTime",
        "aws:username",
        "aws:userid",
        "aws:PrincipalArn",
        "aws:PrincipalAccount",
        "aws:PrincipalType",
        "aws:PrincipalTag/team",
        "aws:ResourceTag/team",
        "ecr:ResourceTag/TEAM",
        "aws:RequestTag/stage",
        "aws:TagKeys",
        "ecr:ImageTag",
        "ecr:ImageTag",
        "aws:UserAgent",
        "aws:ResourceAccount",
        "aws:SourceVpce",
        "token.example.com:sub",
        "token.example.com:groups",
        "token.example.com:age",
    ]);
    let prefix = prop_oneof![4 => Just(""), 1 => Just("ForAllValues:"), 1 => Just("ForAnyValue:")];
    let suffix = prop_oneof![4 => Just(""), 1 => Just("IfExists")];
    (operator, key, prefix, suffix).prop_map(|((name, values), key, prefix, suffix)| {
        let operator = match name.as_str() {
            "Null" => name,
            _ => format!("{prefix}{name}{suffix}"),
        };
        (operator, key.to_owned(), values)
    })
}
