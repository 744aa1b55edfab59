// SPDX-License-Identifier: Apache-2.0
//! What a decision takes from the allocator: nothing for statements about something else, however many there are. A process of
//! its own, since all of a process has one allocator.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use hythe_access::{Action, Principal};
use hythe_model::AccountId;
use hythe_rules::{ConditionContext, NamedPolicy, Policies, Policy, PolicyGrammar, Request, Requester, decide};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is left to the system's allocator; the counter neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` above, that is, from there.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator in this thread during `work`.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

const LAST: &str = r#"{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"arn:aws:ecr:*:*:repository/web/*"}"#;

fn policy(texts: &[String], grammar: PolicyGrammar) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, texts.join(","));
    Policy::parse(&text, grammar).unwrap()
}

#[test]
fn statements_about_something_else_take_no_memory() {
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
    // About another action, another resource, and, in the policy of the registry, another principal.
    let of_identity = |n: usize| {
        vec![
            format!(
                r#"{{"Effect":"Deny","Action":"ecr:Put*","Resource":"*","Condition":{{"StringLike":{{"aws:UserAgent":"a{n}*"}}}}}}"#
            ),
            format!(r#"{{"Effect":"Deny","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/t{n}/*/x?"}}"#),
        ]
    };
    let of_registry = |n: usize| {
        vec![
            format!(
                r#"{{"Effect":"Deny","Principal":{{"AWS":"arn:aws:iam::000000000000:user/u{n}"}},"Action":"ecr:*","Resource":"*"}}"#
            ),
            format!(
                r#"{{"Effect":"Deny","Principal":"*","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/r{n}*z/*"}}"#
            ),
        ]
    };
    let counts = [0, 1, 40].map(|count| {
        let mut texts: Vec<String> = (0..count).flat_map(of_identity).collect();
        texts.push(LAST.to_owned());
        let identity = [NamedPolicy {
            name: "own".into(),
            policy: Arc::new(policy(&texts, PolicyGrammar::Identity)),
        }];
        let texts: Vec<String> = (0..count.max(1)).flat_map(of_registry).collect();
        let registry = policy(&texts, PolicyGrammar::Registry);
        let policies = Policies {
            identity: &identity,
            registry: Some(&registry),
            ..Policies::default()
        };
        let mut is_allowed = false;
        let count = allocations(|| is_allowed = decide(&request, &policies).is_allowed());
        assert!(is_allowed);
        count
    });
    assert_eq!(counts, [0, 0, 0]);
    assert!(allocations(|| drop(std::hint::black_box(vec![1]))) > 0, "it counts");
}
