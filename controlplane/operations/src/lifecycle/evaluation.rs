// SPDX-License-Identifier: Apache-2.0
//! From rows of a repository to what a policy makes of them.

use std::collections::{BTreeMap, HashMap};

use hythe_meta::{LifecycleKept, LifecycleOutcome, LifecycleRow, LifecycleTotals, LifecycleVerdict, RuleTotals};
use hythe_model::{Digest, ImageStatus};
use hythe_rules::lifecycle::{
    Evaluator, KeepReason, LifecycleImage, LifecycleOutcome as Outcome, LifecyclePolicy, RulePriority, Verdict,
};
use jiff::Timestamp;

/// What a policy makes of each image, and in which order to act.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// One for each row, in their order.
    pub(super) verdicts: Vec<LifecycleVerdict>,
    /// The places of the images that are taken, the oldest first.
    pub(super) taken: Vec<usize>,
    /// The places of those that stay only because an index lists them.
    pub(super) protected: Vec<usize>,
}

/// What `policy` makes of `rows` at `now`.
pub(super) fn evaluate(policy: &LifecyclePolicy, rows: &[LifecycleRow], now: Timestamp) -> Evaluated {
    let mut evaluator = Evaluator::new(policy, now);
    for row in rows {
        evaluator.add(&image(row));
    }
    let evaluation = evaluator.finish();
    let taken = evaluation.taken().map(|(place, _)| place).collect();
    let verdicts: Vec<_> = evaluation.verdicts.into_iter().map(verdict).collect();
    let numbered = verdicts.iter().enumerate();
    let protected = numbered.filter(|(_, verdict)| verdict.is_protected());
    Evaluated {
        taken,
        protected: protected.map(|(place, _)| place).collect(),
        verdicts,
    }
}

fn image(row: &LifecycleRow) -> LifecycleImage {
    LifecycleImage {
        digest: row.digest,
        tags: row.tags.clone(),
        pushed_at: row.pushed_at,
        last_pulled_at: row.last_pulled_at,
        archived_at: row.archived_at,
        activated_at: row.activated_at,
        storage_class: (row.status != ImageStatus::Activating).then(|| row.status.storage_class()),
        size_bytes: row.image_bytes,
        is_in_index: row.is_in_index,
        subject: row.subject,
    }
}

fn verdict(verdict: Verdict) -> LifecycleVerdict {
    let (outcome, kept) = match verdict.outcome {
        Outcome::Expire => (LifecycleOutcome::Expire, None),
        Outcome::Transition => (LifecycleOutcome::Archive, None),
        Outcome::Retain => (LifecycleOutcome::Retain, None),
        Outcome::Keep(reason) => (LifecycleOutcome::Keep, Some(kept(reason))),
    };
    LifecycleVerdict {
        outcome,
        rule: verdict.rule.map(RulePriority::get),
        claimed_by: verdict.claimed_by.map(RulePriority::get),
        kept,
    }
}

fn kept(reason: KeepReason) -> LifecycleKept {
    match reason {
        KeepReason::NotSelected => LifecycleKept::NotSelected,
        KeepReason::Spared => LifecycleKept::Spared,
        KeepReason::Claimed => LifecycleKept::Claimed,
        KeepReason::InIndex => LifecycleKept::InIndex,
        KeepReason::FollowsSubject => LifecycleKept::FollowsSubject,
    }
}

/// The places of the images that are deleted because what they refer to, in the end, expires.
pub(super) fn followers(rows: &[LifecycleRow], verdicts: &[LifecycleVerdict]) -> Vec<usize> {
    let follows = |place: &usize| {
        let kept = verdicts.get(*place).and_then(|verdict| verdict.kept);
        kept == Some(LifecycleKept::FollowsSubject)
    };
    let following: Vec<usize> = (0..rows.len()).filter(follows).collect();
    if following.is_empty() {
        return following;
    }
    let places: HashMap<Digest, usize> = rows.iter().enumerate().map(|(n, row)| (row.digest, n)).collect();
    let ends_expired = |place: &usize| {
        let mut at = *place;
        // No chain is longer than there are links, unless it is a circle.
        for _ in 0..=following.len() {
            let subject = rows.get(at).and_then(|row| row.subject.as_ref());
            match subject.and_then(|subject| places.get(subject)) {
                Some(next) if follows(next) => at = *next,
                Some(end) => {
                    let outcome = verdicts.get(*end).map(|verdict| verdict.outcome);
                    return outcome == Some(LifecycleOutcome::Expire);
                }
                None => return false,
            }
        }
        false
    };
    following.iter().copied().filter(ends_expired).collect()
}

/// The numbers of a preview. `stored` is what the stored policy makes of the same rows.
pub(super) fn totals(
    policy: &LifecyclePolicy,
    rows: &[LifecycleRow],
    verdicts: &[LifecycleVerdict],
    stored: Option<&[LifecycleVerdict]>,
) -> LifecycleTotals {
    let numbers = policy.rules().iter().map(|rule| rule.priority().get());
    let mut rules: BTreeMap<u32, RuleTotals> = numbers
        .map(|rule| {
            (
                rule,
                RuleTotals {
                    rule,
                    ..RuleTotals::default()
                },
            )
        })
        .collect();
    let mut totals = LifecycleTotals {
        images: rows.len() as u64,
        compared: stored.is_some(),
        ..LifecycleTotals::default()
    };
    for (place, (row, verdict)) in rows.iter().zip(verdicts).enumerate() {
        let bytes = row.image_bytes;
        match verdict.outcome {
            LifecycleOutcome::Expire => {
                totals.expired += 1;
                totals.expired_bytes += bytes;
            }
            LifecycleOutcome::Archive => {
                totals.archived += 1;
                totals.archived_bytes += bytes;
            }
            LifecycleOutcome::Retain | LifecycleOutcome::Keep => {
                totals.protected += u64::from(verdict.is_protected());
            }
        }
        let is_taken = verdict.outcome.is_action();
        let rule = if is_taken { verdict.rule } else { verdict.claimed_by };
        if let Some(rule) = rule.and_then(|rule| rules.get_mut(&rule)) {
            if is_taken {
                rule.taken += 1;
                rule.taken_bytes += bytes;
            } else {
                rule.kept += 1;
            }
        }
        let Some(before) = stored.and_then(|stored| stored.get(place)) else {
            continue;
        };
        match (is_taken, before.outcome.is_action()) {
            (true, false) => {
                totals.newly_taken += 1;
                totals.newly_taken_bytes += bytes;
            }
            (false, true) => {
                totals.no_longer_taken += 1;
                totals.no_longer_taken_bytes += bytes;
            }
            (true, true) => totals.changed += u64::from(before.outcome != verdict.outcome),
            (false, false) => {}
        }
    }
    totals.rules = rules.into_values().collect();
    totals
}
