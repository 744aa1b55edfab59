// SPDX-License-Identifier: Apache-2.0
//! The evaluator says what the slow one says.

use std::collections::BTreeMap;
use std::sync::Arc;

use hythe_access::{Attributes, Principal, RequestContext};
use hythe_rules::{ConditionContext, Decision, NamedPolicy, Policies, Policy, PolicyGrammar, Request, decide, explain};
use jiff::Timestamp;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use crate::generate::{Case, Circumstances, case};
use crate::reference::{self, Asked, Documents};
use crate::support::{PROVIDER, account, answer, principal_behind, requester};

const NOW: &str = "2026-01-31T12:00:00Z";
const NOW_SECONDS: &str = "1769860800";
/// How many requests are decided. The generator starts from a fixed seed, so that a failure comes again.
const CASES: usize = 3000;

#[test]
fn generated_requests_are_decided_as_the_slow_evaluator_decides_them() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = case();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..CASES {
        let case = strategy.new_tree(&mut runner).unwrap().current();
        let (fast, slow) = (fast(&case), slow(&case));
        assert_eq!(fast, slow, "fast and slow differ for {case:#?}");
        *seen.entry(slow).or_default() += 1;
    }
    // The generator is worth something only if it reaches every answer, and none nearly always.
    for answer in [
        "yes",
        "deny",
        "no identity",
        "no boundary",
        "no session",
        "no resource",
        "no trust",
    ] {
        let count = seen.get(answer).copied().unwrap_or_default();
        assert!((CASES / 100..CASES * 2 / 3).contains(&count), "{answer}: {seen:?}");
    }
}

fn parse(document: &Value, grammar: PolicyGrammar) -> Policy {
    Policy::parse(&document.to_string(), grammar).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn fast(case: &Case) -> &'static str {
    let named = |document: &Value| NamedPolicy {
        name: "own".into(),
        policy: Arc::new(parse(document, PolicyGrammar::Identity)),
    };
    let of = |document: &Option<Value>, grammar| document.as_ref().map(|document| parse(document, grammar));
    let identity: Vec<NamedPolicy> = case.identity.iter().map(named).collect();
    let boundary = case.boundary.as_ref().map(named);
    let session = of(&case.session, PolicyGrammar::Identity);
    let repository = of(&case.repository, PolicyGrammar::Repository);
    let registry = of(&case.registry, PolicyGrammar::Registry);
    let trust = of(&case.trust, PolicyGrammar::Trust);
    let policies = Policies {
        identity: &identity,
        boundary: boundary.as_ref(),
        session: session.as_ref(),
        repository: repository.as_ref(),
        registry: registry.as_ref(),
        trust: trust.as_ref(),
    };

    let given = &case.circumstances;
    let tags = |team: Option<&str>| team.map(|team| BTreeMap::from([("team".to_owned(), team.to_owned())]));
    let (resource_tags, principal_tags) = (tags(given.resource_team), tags(given.principal_team));
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let named = RequestContext {
        image_tags: texts(&given.image_tags),
        request_tags: request_tags(given),
        tag_keys: texts(&given.tag_keys),
        ..RequestContext::default()
    };
    let mut attributes = Attributes::new();
    attributes.insert("token.example.com:groups".to_owned(), texts(&given.groups));
    for (name, value) in [("sub", given.sub), ("age", given.age)] {
        if let Some(value) = value {
            attributes.insert(format!("token.example.com:{name}"), vec![value.to_owned()]);
        }
    }
    let context = ConditionContext {
        now: given.is_timed.then(|| NOW.parse::<Timestamp>().unwrap()),
        token_issued_at: None,
        source_ip: given.source_ip.map(|address| address.parse().unwrap()),
        is_secure: given.is_secure,
        user_agent: given.user_agent,
        region: None,
        request: Some(&named),
        resource_tags: resource_tags.as_ref(),
        principal_tags: principal_tags.as_ref(),
        attributes: Some(&attributes),
        given: None,
    };
    let (behind, owner) = (principal_behind(case.who), account("1"));
    let request = Request {
        requester: requester(case.who, &behind),
        action: case.action,
        resource: case.resource,
        owner: &owner,
        context: &context,
    };
    let decision = decide(&request, &policies);
    let explanation = explain(&request, &policies);
    assert_eq!(explanation.decision, decision);
    if let Decision::ExplicitDeny { statement } = decision {
        assert!(explanation.matched.contains(&statement), "{explanation:?}");
    }
    answer(&decision)
}

fn request_tags(given: &Circumstances) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    given.request_tags.iter().map(owned).collect()
}

fn slow(case: &Case) -> &'static str {
    let documents = Documents {
        identity: case.identity.clone(),
        boundary: case.boundary.clone(),
        session: case.session.clone(),
        repository: case.repository.clone(),
        registry: case.registry.clone(),
        trust: case.trust.clone(),
    };
    let given = &case.circumstances;
    let mut asked = Asked {
        action: case.action.to_string(),
        resource: case.resource.to_owned(),
        image_tags: given.image_tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Asked::default()
    };
    let mut know = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            asked.keys.insert(key.to_ascii_lowercase(), values);
        }
    };
    let text = |value: Option<&str>| value.map(str::to_owned).into_iter().collect::<Vec<_>>();
    know("aws:CurrentTime", text(given.is_timed.then_some(NOW)));
    know("aws:EpochTime", text(given.is_timed.then_some(NOW_SECONDS)));
    let address = given.source_ip.map(|address| address.trim_start_matches("::ffff:"));
    know("aws:SourceIp", text(address));
    know(
        "aws:SecureTransport",
        given.is_secure.iter().map(ToString::to_string).collect(),
    );
    know("aws:UserAgent", text(given.user_agent));
    know("aws:ResourceTag/team", text(given.resource_team));
    know("ecr:ResourceTag/team", text(given.resource_team));
    know("aws:PrincipalTag/team", text(given.principal_team));
    know("aws:ResourceAccount", text(Some("111111111111")));
    for (key, value) in request_tags(given).iter().rev() {
        know(&format!("aws:RequestTag/{key}"), text(Some(value)));
    }
    let keys = request_tags(given).into_keys();
    know(
        "aws:TagKeys",
        keys.chain(given.tag_keys.iter().map(|key| (*key).to_owned())).collect(),
    );
    know("token.example.com:sub", text(given.sub));
    know("token.example.com:age", text(given.age));
    know(
        "token.example.com:groups",
        given.groups.iter().map(|group| (*group).to_owned()).collect(),
    );

    match (case.who, principal_behind(case.who)) {
        ("github", _) => asked.names = vec![(PROVIDER.to_owned(), 3)],
        ("lambda", _) => asked.names = vec![("lambda.amazonaws.com".to_owned(), 3)],
        (who, principal) => describe(who, &principal, &mut asked),
    }
    if ["github", "lambda"].contains(&case.who) {
        asked.all_names = asked.names.iter().map(|(name, _)| name.clone()).collect();
    }
    reference::decide(&asked, &documents)
}

fn describe(who: &str, principal: &Principal, asked: &mut Asked) {
    let mut know = |key: &str, value: &str| asked.keys.insert(key.to_ascii_lowercase(), vec![value.to_owned()]);
    let (root, kind) = match principal {
        Principal::Anonymous => {
            know("aws:PrincipalType", "Anonymous");
            asked.by_star = 3;
            return;
        }
        Principal::Root(account) => {
            let root = format!("arn:aws:iam::{account}:root");
            know("aws:userid", account.as_str());
            know("aws:PrincipalArn", &root);
            asked.names = vec![(root.clone(), 3)];
            (root, "Account")
        }
        Principal::User(account, name) => {
            let (root, arn) = (
                format!("arn:aws:iam::{account}:root"),
                format!("arn:aws:iam::{account}:user/{name}"),
            );
            know("aws:username", name.as_str());
            know("aws:userid", name.as_str());
            know("aws:PrincipalArn", &arn);
            asked.names = vec![(root.clone(), 1), (arn, 3)];
            (root, "User")
        }
        Principal::Role(session) => {
            let root = format!("arn:aws:iam::{}:root", session.account);
            let role = format!("arn:aws:iam::{}:role/{}", session.account, session.role);
            know("aws:userid", &format!("{}:{}", session.role, session.session));
            know("aws:PrincipalArn", &role);
            asked.names = vec![(root.clone(), 1), (role, 2), (principal.to_string(), 3)];
            (root, "AssumedRole")
        }
    };
    let account = &root["arn:aws:iam::".len()..root.len() - ":root".len()];
    know("aws:PrincipalAccount", account);
    know("aws:PrincipalType", kind);
    asked.by_star = 3;
    asked.all_names = asked.names.iter().map(|(name, _)| name.clone()).collect();
    asked.has_own_policies = true;
    asked.is_root = matches!(principal, Principal::Root(_));
    asked.is_user = matches!(principal, Principal::User(..));
    asked.is_of_owner = account == "111111111111";
    if who == "admin" {
        asked.is_of_owner = true;
        asked.names.push(("arn:aws:iam::111111111111:root".to_owned(), 3));
    }
}
