// SPDX-License-Identifier: Apache-2.0
//! Policies and images, made of few words and few ages so that they often meet.

use hythe_rules::lifecycle::{LifecycleImage, LifecyclePolicy, StorageClass};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::support::{ago, digest};

const TAGS: &[&str] = &["alpha-1", "alpha-2", "Alpha-1", "beta-1", "beta-2", "rc", "v1"];
const PATTERNS: &[&str] = &["alpha*", "beta*", "*-1", "a*-*", "*", "v1", "r*c*", "Alpha*"];
const PREFIXES: &[&str] = &["alpha", "beta", "r", "v1", "Alpha-1"];
const AGES: &[i64] = &[1, 23, 24, 25, 47, 48, 49, 72, 96, 168, 169, 720, 2159, 2160, 2161, 3000];
const NAMES: &[&str] = &["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];

/// A policy that is one, and images.
pub fn case() -> impl Strategy<Value = (Value, Vec<LifecycleImage>)> {
    (policy(), images())
}

/// A document, valid or not.
fn document() -> impl Strategy<Value = Value> {
    (
        vec((selection(), action()), 1..6),
        Just([4_u32, 2, 9, 1, 7]).prop_shuffle(),
    )
        .prop_map(|(rules, priorities)| {
            let rules = rules.into_iter().zip(priorities);
            let rule = |((selection, action), priority): ((Value, Value), u32)| {
                // What selects all has to come last in its class.
                let is_last = selection["tagStatus"] == "any" && action["type"] != "retain";
                let priority = if is_last { priority + 10 } else { priority };
                json!({ "rulePriority": priority, "selection": selection, "action": action })
            };
            json!({ "rules": rules.map(rule).collect::<Vec<_>>() })
        })
}

fn policy() -> impl Strategy<Value = Value> {
    document().prop_filter("it must be a policy", |document| {
        LifecyclePolicy::parse(&document.to_string()).is_ok()
    })
}

fn action() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!({ "type": "expire" })),
        1 => Just(json!({ "type": "transition", "targetStorageClass": "archive" })),
        2 => Just(json!({ "type": "retain" })),
    ]
}

fn selection() -> impl Strategy<Value = Value> {
    let tags = prop_oneof![
        2 => Just(json!({ "tagStatus": "any" })),
        2 => Just(json!({ "tagStatus": "untagged" })),
        3 => subsequence(PATTERNS, 1..3).prop_map(|list| json!({ "tagStatus": "tagged", "tagPatternList": list })),
        2 => subsequence(PREFIXES, 1..3).prop_map(|list| json!({ "tagStatus": "tagged", "tagPrefixList": list })),
    ];
    let count = prop_oneof![
        4 => (1..4_u32).prop_map(|number| json!({ "countType": "imageCountMoreThan", "countNumber": number })),
        4 => age("sinceImagePushed"),
        3 => age("sinceImagePulled"),
        2 => (90..92_u32).prop_map(|number| json!({
            "storageClass": "archive", "countType": "sinceImageTransitioned", "countNumber": number, "countUnit": "days"
        })),
    ];
    (tags, count).prop_map(|(mut tags, count)| {
        tags.as_object_mut().unwrap().extend(count.as_object().unwrap().clone());
        tags
    })
}

fn age(kind: &'static str) -> impl Strategy<Value = Value> {
    let units = [
        ("hours", 24),
        ("hours", 48),
        ("days", 1),
        ("days", 2),
        ("days", 7),
        ("weeks", 1),
    ];
    select(units.to_vec())
        .prop_map(move |(unit, number)| json!({ "countType": kind, "countNumber": number, "countUnit": unit }))
}

fn images() -> impl Strategy<Value = Vec<LifecycleImage>> {
    let one = (
        subsequence(TAGS, 0..3),
        select(AGES),
        weighted(0.3, select(AGES)),
        weighted(0.3, select(AGES)),
        weighted(0.25, select(AGES)),
        prop::bool::weighted(0.15),
        weighted(0.15, 0..NAMES.len()),
    );
    vec(one, 0..NAMES.len()).prop_map(|images| {
        let numbered = images.into_iter().enumerate();
        let image = |(n, (tags, pushed, pulled, archived, back, is_in_index, subject)): (usize, Facts)| {
            let mut image = LifecycleImage {
                digest: digest(NAMES[n]),
                tags: tags.into_iter().map(|tag| tag.parse().unwrap()).collect(),
                pushed_at: ago(pushed),
                // Nothing happens to an image before it is there.
                last_pulled_at: pulled.map(|hours| ago(hours.min(pushed))),
                archived_at: archived.map(|hours| ago(hours.min(pushed))),
                activated_at: archived.and(back).map(|hours| ago(hours.min(pushed))),
                storage_class: Some(StorageClass::Standard),
                size_bytes: 1,
                is_in_index,
                // What refers to something was made after it: there are no circles.
                subject: subject
                    .filter(|subject| *subject < n)
                    .map(|subject| digest(NAMES[subject])),
            };
            if image.archived_at > image.activated_at {
                image.storage_class = Some(StorageClass::Archive);
            } else if image.archived_at.is_some() && n % 3 == 0 {
                // On its way back.
                image.storage_class = None;
            }
            image
        };
        numbered.map(image).collect()
    })
}

type Facts = (
    Vec<&'static str>,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    bool,
    Option<usize>,
);
