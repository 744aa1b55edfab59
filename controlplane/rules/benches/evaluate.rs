// SPDX-License-Identifier: Apache-2.0
//! How long a decision takes, by the number of statements: `cargo bench -p hythe-rules`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hythe_access::{Action, Principal};
use hythe_model::AccountId;
use hythe_rules::{ConditionContext, NamedPolicy, Policies, Policy, PolicyGrammar, Request, Requester, decide};

/// As many as fit into a document.
const STATEMENTS_PER_POLICY: usize = 50;

/// Statements about the same action on other repositories, as teams have them.
fn statement(index: usize) -> String {
    format!(
        r#"{{"Effect":"Allow","Action":["ecr:Batch*","ecr:Get*"],"Resource":"arn:aws:ecr:*:*:repository/team-{index}/*"}}"#
    )
}

/// Statements about the right repository, whose conditions must be asked.
fn conditional(index: usize) -> String {
    format!(
        r#"{{"Effect":"Deny","Action":"ecr:*","Resource":"*","Condition":{{"IpAddress":{{"aws:SourceIp":"198.51.100.{}/32"}}}}}}"#,
        index % 256
    )
}

/// Statements with variables.
fn variable(index: usize) -> String {
    format!(
        r#"{{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/${{aws:username}}/{index}/*"}}"#
    )
}

/// `count` statements of which the last allows the request.
fn policies(count: usize, of: fn(usize) -> String) -> Vec<NamedPolicy> {
    let last = r#"{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"arn:aws:ecr:*:*:repository/web/*"}"#;
    let mut texts: Vec<String> = (1..count).map(of).collect();
    texts.push(last.to_owned());
    let policy = |texts: &[String]| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, texts.join(","));
        NamedPolicy {
            name: "bench".into(),
            policy: Arc::new(Policy::parse(&text, PolicyGrammar::Identity).unwrap()),
        }
    };
    texts.chunks(STATEMENTS_PER_POLICY).map(policy).collect()
}

fn evaluate(criterion: &mut Criterion) {
    type Of = fn(usize) -> String;
    let account = AccountId::default();
    let ada = Principal::User(account.clone(), "ada".parse().unwrap());
    let context = ConditionContext {
        source_ip: Some("192.0.2.7".parse().unwrap()),
        is_secure: Some(true),
        ..ConditionContext::default()
    };
    let request = Request {
        requester: Requester::Principal(&ada),
        action: Action::BatchGetImage,
        resource: "arn:aws:ecr:local:000000000000:repository/web/frontend",
        owner: &account,
        context: &context,
    };
    let kinds: [(&str, Of); 3] = [
        ("resources", statement),
        ("conditions", conditional),
        ("variables", variable),
    ];
    for (name, of) in kinds {
        let mut group = criterion.benchmark_group(name);
        for count in [1, 50, 500] {
            let identity = policies(count, of);
            let policies = Policies {
                identity: &identity,
                ..Policies::default()
            };
            assert!(decide(&request, &policies).is_allowed());
            group.bench_with_input(BenchmarkId::from_parameter(count), &policies, |bencher, policies| {
                bencher.iter(|| decide(black_box(&request), black_box(policies)).is_allowed());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
