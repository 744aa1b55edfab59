// SPDX-License-Identifier: Apache-2.0
//! The evaluator says what the slow one says, and the comparison would notice if it did not.

use std::collections::BTreeMap;

use hythe_rules::lifecycle::{
    KeepReason, LifecycleImage, LifecycleOutcome, LifecyclePolicy, RulePriority, Verdict, evaluate,
};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use super::generate::case;
use super::reference::{BUGS, Bug, Fate, fates};
use super::support::now;

/// How many policies are evaluated. The generator starts from a fixed seed, so that a failure comes again.
const CASES: usize = 4000;
/// In how many of them a mistake has to show.
const LEAST_NOTICED: usize = 5;

fn cases() -> impl Iterator<Item = (Value, Vec<LifecycleImage>)> {
    let config = Config {
        max_local_rejects: 10_000_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = case();
    (0..CASES).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

fn fate(verdict: Verdict) -> Fate {
    let number = |priority: Option<RulePriority>| priority.map(|priority| u64::from(priority.get()));
    Fate {
        outcome: match verdict.outcome {
            LifecycleOutcome::Expire => "expire",
            LifecycleOutcome::Transition => "transition",
            LifecycleOutcome::Retain => "retain",
            LifecycleOutcome::Keep(KeepReason::InIndex) => "in index",
            LifecycleOutcome::Keep(KeepReason::FollowsSubject) => "follows",
            LifecycleOutcome::Keep(KeepReason::NotSelected | KeepReason::Spared | KeepReason::Claimed) => "stays",
        },
        rule: number(verdict.rule),
        claimed_by: number(verdict.claimed_by),
    }
}

fn evaluated(document: &Value, images: &[LifecycleImage]) -> Vec<Fate> {
    let policy = LifecyclePolicy::parse(&document.to_string()).unwrap();
    let verdicts = evaluate(&policy, images, now());
    for verdict in &verdicts {
        let is_consistent = match verdict.outcome {
            LifecycleOutcome::Keep(KeepReason::NotSelected) => verdict.rule.or(verdict.claimed_by).is_none(),
            LifecycleOutcome::Keep(KeepReason::Spared) => verdict.rule.is_none() && verdict.claimed_by.is_some(),
            LifecycleOutcome::Keep(KeepReason::Claimed) => verdict.rule > verdict.claimed_by,
            LifecycleOutcome::Keep(KeepReason::FollowsSubject) => verdict.claimed_by.is_none(),
            LifecycleOutcome::Retain => verdict.claimed_by.is_some(),
            _ => verdict.rule == verdict.claimed_by && verdict.rule.is_some(),
        };
        assert!(is_consistent, "{verdict:?}");
    }
    verdicts.into_iter().map(fate).collect()
}

#[test]
fn generated_policies_are_evaluated_as_the_slow_evaluator_does() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (document, images) in cases() {
        let (fast, slow) = (
            evaluated(&document, &images),
            fates(&document, &images, now(), Bug::None),
        );
        assert_eq!(fast, slow, "fast and slow differ for {document} and {images:#?}");
        // The order in which images come makes no difference.
        let backwards: Vec<LifecycleImage> = images.iter().rev().cloned().collect();
        let mut again = evaluated(&document, &backwards);
        again.reverse();
        assert_eq!(again, fast, "the order matters for {document} and {images:#?}");
        for fate in fast {
            *seen.entry(fate.outcome).or_default() += 1;
        }
    }
    // The generator is worth something only if it reaches every outcome.
    for outcome in ["expire", "transition", "retain", "in index", "follows", "stays"] {
        assert!(
            seen.get(outcome).is_some_and(|count| *count > CASES / 50),
            "{outcome}: {seen:?}"
        );
    }
}

#[test]
fn every_mistake_would_be_noticed() {
    let mut noticed: BTreeMap<String, usize> = BTreeMap::new();
    for (document, images) in cases() {
        let right = evaluated(&document, &images);
        for bug in BUGS {
            if fates(&document, &images, now(), bug) != right {
                *noticed.entry(format!("{bug:?}")).or_default() += 1;
            }
        }
    }
    for bug in BUGS {
        let count = noticed.get(&format!("{bug:?}")).copied().unwrap_or_default();
        assert!(
            count >= LEAST_NOTICED,
            "{bug:?} shows in {count} of {CASES} cases: {noticed:?}"
        );
    }
}
