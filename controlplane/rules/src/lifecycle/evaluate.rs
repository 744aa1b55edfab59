// SPDX-License-Identifier: Apache-2.0
//! What becomes of each image (ECR user guide, "Lifecycle policy evaluation rules").

use std::cmp::Reverse;
use std::collections::HashMap;

use hythe_model::{Digest, StorageClass, Tag};
use jiff::Timestamp;

use super::policy::{LifecyclePolicy, MAX_LIFECYCLE_RULES};
use super::rule::{Count, LifecycleAction, LifecycleRule, RulePriority};

/// What a policy looks at in an image.
///
/// Images that are on their way out of the archive are not evaluated: they are in no class yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleImage {
    /// Its digest.
    pub digest: Digest,
    /// Its tags, in any order.
    pub tags: Vec<Tag>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was last pulled, if it ever was.
    pub last_pulled_at: Option<Timestamp>,
    /// When it last went to the archive.
    pub archived_at: Option<Timestamp>,
    /// When it last came back from the archive, or was restored after it was deleted: its age counts from then.
    pub activated_at: Option<Timestamp>,
    /// Where it is; `None` while it comes back from the archive: no rule selects it then, and what refers to it follows it.
    pub storage_class: Option<StorageClass>,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// Whether a stored index lists it.
    pub is_in_index: bool,
    /// What it refers to, whether that is stored or not.
    pub subject: Option<Digest>,
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleOutcome {
    /// It is deleted.
    Expire,
    /// It goes to the archive.
    Transition,
    /// It stays, since a rule retains it.
    Retain,
    /// It stays.
    Keep(KeepReason),
}

/// Why an image stays without a rule that retains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeepReason {
    /// No rule selects it, except some that retain and do not retain it.
    NotSelected,
    /// The rule that claimed it spares it, and so would all others.
    Spared,
    /// The rule that claimed it spares it; another would have taken it.
    Claimed,
    /// A rule would take it, and a stored index lists it.
    InIndex,
    /// It refers to a stored image, and stays and goes with that.
    FollowsSubject,
}

impl KeepReason {
    /// The name in answers and records. That of an image in an index is ECR's.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSelected => "NotSelected",
            Self::Spared => "Spared",
            Self::Claimed => "ClaimedByHigherPriorityRule",
            Self::InIndex => "ImageReferencedByManifestList",
            Self::FollowsSubject => "FollowsSubject",
        }
    }
}

/// What becomes of an image, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: LifecycleOutcome,
    /// The rule that takes it; for an image that stays: the first that would take it if nothing stood in its way, and for
    /// one that follows its subject: the rule that takes the subject.
    pub rule: Option<RulePriority>,
    /// The first rule that selects it to act on it, or the rule that retains it: no later rule touches it.
    pub claimed_by: Option<RulePriority>,
}

impl Verdict {
    /// Whether a run acts on it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self.outcome, LifecycleOutcome::Expire | LifecycleOutcome::Transition)
    }
}

/// What becomes of `images` at `now`, in their order.
#[must_use]
pub fn evaluate(policy: &LifecyclePolicy, images: &[LifecycleImage], now: Timestamp) -> Vec<Verdict> {
    let mut evaluator = Evaluator::new(policy, now);
    for image in images {
        evaluator.add(image);
    }
    evaluator.finish().verdicts
}

/// Evaluates a policy over images that come one by one, as a store lists them, so that tags and sizes need not be held
/// for all of them: about 200 bytes for each.
#[derive(Debug)]
pub struct Evaluator<'p> {
    policy: &'p LifecyclePolicy,
    now_ms: i64,
    images: Vec<Facts>,
    /// What refers to something, by its place in `images`.
    subjects: Vec<(usize, Digest)>,
}

/// The verdicts, and in which order to act on them.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// One for each image, in the order in which they came.
    pub verdicts: Vec<Verdict>,
    newest_first: Vec<u32>,
}

impl Evaluation {
    /// The images on which a run acts, the oldest first: their places, and what becomes of them.
    pub fn taken(&self) -> impl Iterator<Item = (usize, Verdict)> {
        let places = self.newest_first.iter().rev().map(|place| index(*place));
        let judged = places.filter_map(|place| Some((place, *self.verdicts.get(place)?)));
        judged.filter(|(_, verdict)| verdict.is_taken())
    }
}

/// What is left of an image when its tags were compared with every rule.
#[derive(Debug)]
struct Facts {
    digest: Digest,
    /// Bit n: the rule with index n selects it.
    selected: RuleSet,
    pushed_ms: i64,
    pulled_ms: i64,
    archived_ms: Option<i64>,
    is_in_index: bool,
}

type RuleSet = u64;
const _: () = assert!(MAX_LIFECYCLE_RULES <= RuleSet::BITS as usize, "a bit for each rule");

impl<'p> Evaluator<'p> {
    /// An evaluation at `now`.
    #[must_use]
    pub fn new(policy: &'p LifecyclePolicy, now: Timestamp) -> Self {
        Self {
            policy,
            now_ms: now.as_millisecond(),
            images: Vec::new(),
            subjects: Vec::new(),
        }
    }

    /// Adds an image; none may come twice.
    pub fn add(&mut self, image: &LifecycleImage) {
        let selects = |rule: &LifecycleRule| {
            Some(rule.storage_class()) == image.storage_class && rule.tags().selects(&image.tags)
        };
        let numbered = self.policy.rules().iter().enumerate();
        let selected = numbered.fold(0, |set, (n, rule)| set | (RuleSet::from(selects(rule)) << n));
        let back = image.activated_at.unwrap_or(Timestamp::MIN);
        let pulled = image.last_pulled_at.unwrap_or(image.pushed_at);
        if let Some(subject) = image.subject {
            self.subjects.push((self.images.len(), subject));
        }
        self.images.push(Facts {
            digest: image.digest,
            selected,
            pushed_ms: image.pushed_at.max(back).as_millisecond(),
            pulled_ms: pulled.max(back).as_millisecond(),
            archived_ms: image.archived_at.map(|archived| archived.max(back).as_millisecond()),
            is_in_index: image.is_in_index,
        });
    }

    /// Says what becomes of each image.
    #[must_use]
    pub fn finish(self) -> Evaluation {
        let followed = self.followed();
        let mut newest_first: Vec<u32> = (0..=u32::MAX).take(self.images.len()).collect();
        newest_first.sort_unstable_by_key(|place| {
            let facts = self.images.get(index(*place));
            // Of images pushed in the same millisecond, the digest decides, so that a run does what its preview said.
            facts.map(|facts| (Reverse(facts.pushed_ms), facts.digest))
        });
        let mut verdicts = vec![NOT_SELECTED; self.images.len()];
        let mut counted = vec![0_u64; self.policy.rules().len()];
        for place in &newest_first {
            let place = index(*place);
            let (Some(facts), Some(verdict)) = (self.images.get(place), verdicts.get_mut(place)) else {
                continue;
            };
            if !followed.contains_key(&place) {
                *verdict = self.judge(facts, &mut counted);
            }
        }
        for (place, subject) in followed {
            let of_subject = verdicts.get(subject).filter(|verdict| verdict.is_taken());
            let rule = of_subject.and_then(|verdict| verdict.rule);
            if let Some(verdict) = verdicts.get_mut(place) {
                *verdict = Verdict {
                    outcome: LifecycleOutcome::Keep(KeepReason::FollowsSubject),
                    rule,
                    claimed_by: None,
                };
            }
        }
        Evaluation { verdicts, newest_first }
    }

    /// `counted`: for each rule, how many newer images it selects.
    fn judge(&self, facts: &Facts, counted: &mut [u64]) -> Verdict {
        let mut verdict = NOT_SELECTED;
        let mut is_decided = false;
        let mut left = facts.selected;
        while left != 0 {
            let n = index(left.trailing_zeros());
            left &= left - 1;
            let (Some(rule), Some(newer)) = (self.policy.rules().get(n), counted.get_mut(n)) else {
                continue;
            };
            let is_beyond = self.is_beyond(rule, facts, *newer);
            // What an index lists takes no place in a ranking: an image for several platforms is one image.
            *newer += u64::from(!facts.is_in_index);
            let priority = Some(rule.priority());
            let takes_it = is_beyond && rule.takes();
            if is_decided {
                if takes_it && verdict.rule.is_none() {
                    verdict.rule = priority;
                    if verdict.outcome == LifecycleOutcome::Keep(KeepReason::Spared) {
                        verdict.outcome = LifecycleOutcome::Keep(KeepReason::Claimed);
                    }
                }
                continue;
            }
            let outcome = match rule.action() {
                LifecycleAction::Retain if is_beyond => continue,
                LifecycleAction::Retain => LifecycleOutcome::Retain,
                _ if !is_beyond => LifecycleOutcome::Keep(KeepReason::Spared),
                _ if facts.is_in_index => LifecycleOutcome::Keep(KeepReason::InIndex),
                LifecycleAction::Expire => LifecycleOutcome::Expire,
                LifecycleAction::Transition => LifecycleOutcome::Transition,
            };
            is_decided = true;
            verdict = Verdict {
                outcome,
                rule: priority.filter(|_| takes_it),
                claimed_by: priority,
            };
        }
        verdict
    }

    fn is_beyond(&self, rule: &LifecycleRule, facts: &Facts, newer: u64) -> bool {
        let is_older = |then_ms: i64, age_ms: i64| self.now_ms.saturating_sub(then_ms) > age_ms;
        match rule.count() {
            None => false,
            Some(Count::ImageCountMoreThan(number)) => newer >= u64::from(number.get()),
            Some(Count::SinceImagePushed(age)) => is_older(facts.pushed_ms, age.millis()),
            Some(Count::SinceImagePulled(age)) => is_older(facts.pulled_ms, age.millis()),
            Some(Count::SinceImageTransitioned(age)) => {
                facts.archived_ms.is_some_and(|then_ms| is_older(then_ms, age.millis()))
            }
        }
    }

    /// Which images follow a stored subject, and what is at the end of their chain.
    fn followed(&self) -> HashMap<usize, usize> {
        if self.subjects.is_empty() {
            return HashMap::new();
        }
        let places: HashMap<Digest, usize> = {
            let numbered = self.images.iter().enumerate();
            numbered.map(|(place, facts)| (facts.digest, place)).collect()
        };
        let stored = self
            .subjects
            .iter()
            .filter_map(|(place, subject)| Some((*place, *places.get(subject)?)));
        let next: HashMap<usize, usize> = stored.collect();
        let mut ends: HashMap<usize, usize> = HashMap::with_capacity(next.len());
        for start in next.keys() {
            let (mut path, mut at) = (Vec::new(), *start);
            while let Some(following) = next.get(&at) {
                if let Some(end) = ends.get(&at) {
                    at = *end;
                    break;
                }
                // A circle needs a digest that contains itself, but what follows nothing else must end somewhere.
                if path.len() > next.len() {
                    break;
                }
                path.push(at);
                at = *following;
            }
            ends.extend(path.into_iter().map(|place| (place, at)));
        }
        ends
    }
}

const NOT_SELECTED: Verdict = Verdict {
    outcome: LifecycleOutcome::Keep(KeepReason::NotSelected),
    rule: None,
    claimed_by: None,
};

/// A `u32` as an index; no target has less.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
