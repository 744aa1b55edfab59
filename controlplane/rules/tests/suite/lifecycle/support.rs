// SPDX-License-Identifier: Apache-2.0
//! Policies and images in few words.

use hythe_model::{Algorithm, Digest};
use hythe_rules::lifecycle::{Evaluator, LifecycleImage, LifecycleOutcome, LifecyclePolicy, StorageClass, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

pub fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

/// The digest of the image that tests call so.
pub fn digest(name: &str) -> Digest {
    let mut hash = [0; 32];
    hash[..name.len()].copy_from_slice(name.as_bytes());
    Digest::new(Algorithm::Sha256, &hash).unwrap()
}

/// Images such as `A:v1,v2@10d` (pushed ten days ago), with more after blanks: `pulled=2d`, `archived=91d` (and so in the
/// archive, unless it came back since), `back=3d`, `restored=3d` (deleted, and restored where it was), `child` (of an index), `of=B` (which refers to B).
pub fn images(text: &str) -> Vec<(String, LifecycleImage)> {
    text.split(';').map(|one| image(one.trim())).collect()
}

fn image(text: &str) -> (String, LifecycleImage) {
    let mut words = text.split_whitespace();
    let (named, age) = words.next().unwrap().split_once('@').unwrap();
    let (name, tags) = named.split_once(':').unwrap_or((named, ""));
    let tags = tags.split(',').filter(|tag| !tag.is_empty());
    let mut image = LifecycleImage {
        digest: digest(name),
        tags: tags.map(|tag| tag.parse().unwrap()).collect(),
        pushed_at: ago(hours(age)),
        last_pulled_at: None,
        archived_at: None,
        activated_at: None,
        storage_class: Some(StorageClass::Standard),
        size_bytes: 1,
        is_in_index: false,
        subject: None,
    };
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("pulled", age) => image.last_pulled_at = Some(ago(hours(age))),
            ("archived", age) => image.archived_at = Some(ago(hours(age))),
            ("back" | "restored", age) => image.activated_at = Some(ago(hours(age))),
            ("of", subject) => image.subject = Some(digest(subject)),
            ("child", _) => image.is_in_index = true,
            other => panic!("{other:?}"),
        }
    }
    if image.archived_at > image.activated_at || text.contains(" restored=") && image.archived_at.is_some() {
        image.storage_class = Some(StorageClass::Archive);
    }
    (name.to_owned(), image)
}

fn hours(age: &str) -> i64 {
    let (number, unit) = age.split_at(age.len() - 1);
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        other => panic!("{other}"),
    };
    number.parse::<i64>().unwrap() * hours
}

/// Rules such as `1 prod* count 1`, `2 alpha*+beta* pushed 5 days`, `3 untagged pulled 30 days archive`,
/// `4 any in-archive transitioned 365 days`, `5 v* retain`.
pub fn policy_json(text: &str) -> Value {
    let rules: Vec<Value> = text.split(';').map(|one| rule_json(one.trim())).collect();
    json!({ "rules": rules })
}

fn rule_json(text: &str) -> Value {
    let mut words = text.split_whitespace();
    let priority: u32 = words.next().unwrap().parse().unwrap();
    let mut selection = match words.next().unwrap() {
        status @ ("any" | "untagged") => json!({ "tagStatus": status }),
        list => json!({ "tagStatus": "tagged", "tagPatternList": list.split('+').collect::<Vec<_>>() }),
    };
    let mut action = json!({ "type": "expire" });
    while let Some(word) = words.next() {
        let kind = match word {
            "in-archive" => {
                selection["storageClass"] = "archive".into();
                continue;
            }
            "archive" => {
                action = json!({ "type": "transition", "targetStorageClass": "archive" });
                continue;
            }
            "retain" => {
                action = json!({ "type": "retain" });
                continue;
            }
            "count" => "imageCountMoreThan",
            "pushed" => "sinceImagePushed",
            "pulled" => "sinceImagePulled",
            "transitioned" => "sinceImageTransitioned",
            other => panic!("{other}"),
        };
        selection["countType"] = kind.into();
        selection["countNumber"] = words.next().unwrap().parse::<u32>().unwrap().into();
        if word != "count" {
            selection["countUnit"] = words.next().unwrap().into();
        }
    }
    json!({ "rulePriority": priority, "selection": selection, "action": action })
}

pub fn policy(text: &str) -> LifecyclePolicy {
    let document = policy_json(text).to_string();
    LifecyclePolicy::parse(&document).unwrap_or_else(|error| panic!("{document}: {} {error}", error.pointer()))
}

pub fn verdicts(rules: &str, of: &str) -> Vec<(String, Verdict)> {
    let policy = policy(rules);
    let images = images(of);
    let facts: Vec<LifecycleImage> = images.iter().map(|(_, image)| image.clone()).collect();
    let verdicts = hythe_rules::lifecycle::evaluate(&policy, &facts, now());
    images.into_iter().map(|(name, _)| name).zip(verdicts).collect()
}

/// What a run does, in its order: `A1 B2>` (rule 1 expires A, then rule 2 moves B to the archive).
pub fn taken(rules: &str, of: &str) -> String {
    let policy = policy(rules);
    let images = images(of);
    let mut evaluator = Evaluator::new(&policy, now());
    for (_, image) in &images {
        evaluator.add(image);
    }
    let evaluation = evaluator.finish();
    let shown = evaluation.taken().map(|(place, verdict)| {
        let mark = match verdict.outcome {
            LifecycleOutcome::Expire => "",
            LifecycleOutcome::Transition => ">",
            other => panic!("{other:?} is not taken"),
        };
        assert_eq!(
            verdict.rule, verdict.claimed_by,
            "only the rule that claims an image takes it"
        );
        format!("{}{}{mark}", images[place].0, verdict.rule.unwrap())
    });
    shown.collect::<Vec<_>>().join(" ")
}
