// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies: reading them, and what they make of images.

use hythe_model::{Algorithm, Digest};
use hythe_rules::lifecycle::{
    Evaluator, LifecycleImage, LifecyclePolicy, MAX_LIFECYCLE_POLICY_CHARS, MAX_LIFECYCLE_RULES, StorageClass,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::text;

/// The whole input as a policy, which is then evaluated over a few images.
pub fn lifecycle(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let policy = match LifecyclePolicy::parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(error.pointer().is_empty() || error.pointer().starts_with('/'));
            assert!(!error.reason().is_empty());
            assert!(
                LifecyclePolicy::parse_strict(text).is_err(),
                "what is strict is also valid"
            );
            return;
        }
    };
    assert!(text.chars().count() <= MAX_LIFECYCLE_POLICY_CHARS);
    assert!((1..=MAX_LIFECYCLE_RULES).contains(&policy.rules().len()));
    assert!(
        policy
            .rules()
            .is_sorted_by(|one, next| one.priority() < next.priority())
    );
    if let Ok(strict) = LifecyclePolicy::parse_strict(text) {
        assert!(strict.is_equivalent(&policy));
    }
    // Its form makes no difference.
    if policy.canonical().chars().count() <= MAX_LIFECYCLE_POLICY_CHARS {
        let again = LifecyclePolicy::parse(policy.canonical()).expect("the canonical form is a policy");
        assert_eq!(again.canonical(), policy.canonical());
    }
    let value: Value = serde_json::from_str(text).expect("a policy is JSON");
    let compact = value.to_string();
    if compact.chars().count() <= MAX_LIFECYCLE_POLICY_CHARS {
        let again = LifecyclePolicy::parse(&compact).expect("it was a policy before");
        assert!(again.is_equivalent(&policy));
    }
    judge(&policy);
}

fn judge(policy: &LifecyclePolicy) {
    let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    let images = images(now);
    let mut evaluator = Evaluator::new(policy, now);
    for image in &images {
        evaluator.add(image);
    }
    let evaluation = evaluator.finish();
    assert_eq!(evaluation.verdicts.len(), images.len());
    for (image, verdict) in images.iter().zip(&evaluation.verdicts) {
        assert!(verdict.rule.is_none_or(|rule| policy.rule(rule).is_some()));
        if !verdict.is_taken() {
            continue;
        }
        assert!(!image.is_in_index && image.subject.is_none(), "what is protected stays");
        assert_eq!(verdict.rule, verdict.claimed_by);
        let rule = verdict
            .rule
            .and_then(|rule| policy.rule(rule))
            .expect("a rule takes it");
        assert!(rule.takes() && Some(rule.storage_class()) == image.storage_class && rule.tags().selects(&image.tags));
    }
    // Nothing that was there first is younger than what goes after it.
    let pushed = |place: usize| {
        images
            .get(place)
            .map(|image| image.activated_at.unwrap_or(image.pushed_at))
    };
    assert!(evaluation.taken().map(|(place, _)| pushed(place)).is_sorted());
}

fn images(now: Timestamp) -> Vec<LifecycleImage> {
    let tags: [&[&str]; 6] = [&[], &["latest"], &["v1.0", "prod-1"], &["a"], &["dev-b", "b"], &["A"]];
    let digest = |n: u8| Digest::new(Algorithm::Sha256, &[n; 32]).unwrap();
    let image = |n: u8| {
        let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
        let is_archived = n % 5 == 4;
        let own = tags.iter().cycle().nth(usize::from(n)).into_iter().copied().flatten();
        LifecycleImage {
            digest: digest(n),
            tags: own.map(|tag| tag.parse().unwrap()).collect(),
            pushed_at: ago(i64::from(n) * 7),
            last_pulled_at: n.is_multiple_of(3).then(|| ago(i64::from(n))),
            archived_at: is_archived.then(|| ago(i64::from(n) * 5)),
            activated_at: (n % 7 == 6 && !is_archived).then(|| ago(2)),
            storage_class: match n % 13 {
                12 => None,
                _ if is_archived => Some(StorageClass::Archive),
                _ => Some(StorageClass::Standard),
            },
            size_bytes: 1,
            is_in_index: n % 8 == 7,
            subject: (n % 11 == 10).then(|| digest(n - 1)),
        }
    };
    (0..32).map(image).collect()
}
