// SPDX-License-Identifier: Apache-2.0
//! The rules of evaluation as ECR's guide words them, step by step, over the document itself: slow, and with nothing of
//! the evaluator but the images. It can be told to make a mistake, to see whether a comparison would notice it.

use std::collections::BTreeSet;

use hythe_rules::lifecycle::{LifecycleImage, StorageClass};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A mistake that an evaluator could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// A rule claims only what it takes.
    SparedIsNotClaimed,
    /// What others claimed takes no place in a ranking.
    ClaimedIsNotRanked,
    /// What an index lists takes a place in a ranking.
    ChildrenAreRanked,
    /// What an index lists is taken.
    ChildrenAreTaken,
    /// What refers to a stored image is taken as any other.
    ReferrersAreTaken,
    /// One entry of a list is enough.
    AnyEntryIsEnough,
    /// Upper case is lower case.
    CaseIsIgnored,
    /// Exactly as old is old enough.
    AgeIsInclusive,
    /// What came back from the archive is as old as it was.
    ReturnIsForgotten,
    /// What was never pulled is not counted.
    NeverPulledIsNotCounted,
    /// A rule sees the images of every storage class.
    ClassesAreMixed,
    /// The rules are applied as they stand in the document.
    PrioritiesAreIgnored,
    /// The oldest come first in a ranking.
    RankedFromTheOldest,
    /// A rule that retains also claims what it does not retain.
    RetainClaimsAll,
}

pub const BUGS: [Bug; 14] = [
    Bug::SparedIsNotClaimed,
    Bug::ClaimedIsNotRanked,
    Bug::ChildrenAreRanked,
    Bug::ChildrenAreTaken,
    Bug::ReferrersAreTaken,
    Bug::AnyEntryIsEnough,
    Bug::CaseIsIgnored,
    Bug::AgeIsInclusive,
    Bug::ReturnIsForgotten,
    Bug::NeverPulledIsNotCounted,
    Bug::ClassesAreMixed,
    Bug::PrioritiesAreIgnored,
    Bug::RankedFromTheOldest,
    Bug::RetainClaimsAll,
];

/// What becomes of an image: `expire`, `transition`, `retain`, `in index`, `follows` or `stays`; the rule that takes it or
/// would; and the rule that claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    pub outcome: &'static str,
    pub rule: Option<u64>,
    pub claimed_by: Option<u64>,
}

struct Judged<'a> {
    priority: u64,
    action: &'a str,
    selected: BTreeSet<usize>,
    beyond: BTreeSet<usize>,
}

pub fn fates(document: &Value, images: &[LifecycleImage], now: Timestamp, bug: Bug) -> Vec<Fate> {
    let follows = |image: &LifecycleImage| {
        let is_stored = |subject| images.iter().any(|other| other.digest == subject);
        bug != Bug::ReferrersAreTaken && image.subject.is_some_and(is_stored)
    };
    let mut rules: Vec<Judged<'_>> = Vec::new();
    for rule in document["rules"].as_array().unwrap() {
        let selects = |place: &usize| selects(rule, &images[*place], bug) && !follows(&images[*place]);
        let selected: BTreeSet<usize> = (0..images.len()).filter(selects).collect();
        rules.push(Judged {
            priority: rule["rulePriority"].as_u64().unwrap(),
            action: rule["action"]["type"].as_str().unwrap(),
            beyond: BTreeSet::new(),
            selected,
        });
    }
    if bug != Bug::PrioritiesAreIgnored {
        rules.sort_by_key(|rule| rule.priority);
    }
    let mut claimed: BTreeSet<usize> = BTreeSet::new();
    let mut fates = vec![
        Fate {
            outcome: "stays",
            rule: None,
            claimed_by: None
        };
        images.len()
    ];
    for rule in &mut rules {
        let of = document["rules"].as_array().unwrap().iter();
        let source = of
            .clone()
            .find(|one| one["rulePriority"].as_u64() == Some(rule.priority))
            .unwrap();
        rule.beyond = beyond(&source["selection"], &rule.selected, &claimed, images, now, bug);
        for place in &rule.selected {
            if claimed.contains(place) {
                continue;
            }
            let is_beyond = rule.beyond.contains(place);
            let is_kept_by_index = images[*place].is_in_index && bug != Bug::ChildrenAreTaken;
            let outcome = match (rule.action, is_beyond) {
                ("retain", true) if bug == Bug::RetainClaimsAll => "stays",
                ("retain", true) => continue,
                ("retain", false) => "retain",
                (_, false) if bug == Bug::SparedIsNotClaimed => continue,
                (_, false) => "stays",
                _ if is_kept_by_index => "in index",
                ("expire", _) => "expire",
                _ => "transition",
            };
            claimed.insert(*place);
            fates[*place].outcome = outcome;
            fates[*place].claimed_by = Some(rule.priority);
        }
    }
    for (place, fate) in fates.iter_mut().enumerate() {
        let Some(by) = fate.claimed_by else { continue };
        let takes = |rule: &&Judged<'_>| rule.priority >= by && rule.action != "retain" && rule.beyond.contains(&place);
        fate.rule = rules.iter().find(takes).map(|rule| rule.priority);
    }
    let taken_by = |place: usize, fates: &[Fate]| {
        let fate = &fates[place];
        fate.rule.filter(|_| ["expire", "transition"].contains(&fate.outcome))
    };
    for place in 0..images.len() {
        if follows(&images[place]) {
            let mut root = place;
            while follows(&images[root]) {
                root = images
                    .iter()
                    .position(|other| Some(other.digest) == images[root].subject)
                    .unwrap();
            }
            fates[place] = Fate {
                outcome: "follows",
                rule: taken_by(root, &fates),
                claimed_by: None,
            };
        }
    }
    fates
}

fn selects(rule: &Value, image: &LifecycleImage, bug: Bug) -> bool {
    let selection = &rule["selection"];
    let class = match image.storage_class {
        Some(StorageClass::Standard) => "standard",
        Some(StorageClass::Archive) => "archive",
        None => return false,
    };
    let is_of_class = selection["storageClass"].as_str().unwrap_or("standard") == class;
    if !is_of_class && bug != Bug::ClassesAreMixed {
        return false;
    }
    let tags: Vec<String> = image.tags.iter().map(ToString::to_string).collect();
    let fold = |text: &str| match bug {
        Bug::CaseIsIgnored => text.to_lowercase(),
        _ => text.to_owned(),
    };
    let matches = |entry: &Value, suffix: &str| {
        let pattern: Vec<char> = format!("{}{suffix}", fold(entry.as_str().unwrap())).chars().collect();
        tags.iter()
            .any(|tag| covers(&pattern, &fold(tag).chars().collect::<Vec<_>>()))
    };
    let (list, suffix) = match (&selection["tagPatternList"], &selection["tagPrefixList"]) {
        (Value::Array(list), _) => (list, ""),
        (_, Value::Array(list)) => (list, "*"),
        _ => return selection["tagStatus"] == "any" || tags.is_empty(),
    };
    if bug == Bug::AnyEntryIsEnough {
        return list.iter().any(|entry| matches(entry, suffix));
    }
    list.iter().all(|entry| matches(entry, suffix))
}

/// The textbook definition.
fn covers(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|n| covers(rest, &text[n..])),
        [one, rest @ ..] => text.first() == Some(one) && covers(rest, &text[1..]),
    }
}

fn beyond(
    selection: &Value,
    selected: &BTreeSet<usize>,
    claimed: &BTreeSet<usize>,
    images: &[LifecycleImage],
    now: Timestamp,
    bug: Bug,
) -> BTreeSet<usize> {
    let back = |image: &LifecycleImage| image.activated_at.filter(|_| bug != Bug::ReturnIsForgotten);
    let pushed = |image: &LifecycleImage| back(image).unwrap_or(image.pushed_at);
    let Some(number) = selection["countNumber"].as_i64() else {
        return BTreeSet::new();
    };
    let hours = match selection["countUnit"].as_str() {
        Some("hours") => number,
        Some("weeks") => 7 * 24 * number,
        _ => 24 * number,
    };
    let is_older = |then: Timestamp| {
        let (age, limit) = (now.duration_since(then), SignedDuration::from_hours(hours));
        if bug == Bug::AgeIsInclusive {
            age >= limit
        } else {
            age > limit
        }
    };
    let is_beyond = |place: &usize| {
        let image = &images[*place];
        match selection["countType"].as_str().unwrap() {
            "imageCountMoreThan" => {
                let is_ranked = |other: &&usize| {
                    (!images[**other].is_in_index || bug == Bug::ChildrenAreRanked)
                        && (!claimed.contains(other) || bug != Bug::ClaimedIsNotRanked)
                };
                let is_before = |other: &&usize| {
                    let other = &images[**other];
                    let is_newer = match bug {
                        Bug::RankedFromTheOldest => pushed(other) < pushed(image),
                        _ => pushed(other) > pushed(image),
                    };
                    is_newer || (pushed(other) == pushed(image) && other.digest < image.digest)
                };
                let before = selected.iter().filter(is_ranked).filter(is_before).count();
                i64::try_from(before).unwrap() >= number
            }
            "sinceImagePushed" => is_older(pushed(image)),
            "sinceImagePulled" => match (image.last_pulled_at, back(image)) {
                (Some(pulled), Some(back)) => is_older(pulled.max(back)),
                (Some(pulled), None) => is_older(pulled),
                (None, Some(back)) => is_older(back),
                (None, None) => bug != Bug::NeverPulledIsNotCounted && is_older(image.pushed_at),
            },
            _ => image
                .archived_at
                .is_some_and(|archived| is_older(archived) && back(image).is_none_or(is_older)),
        }
    };
    selected.iter().copied().filter(is_beyond).collect()
}
