// SPDX-License-Identifier: Apache-2.0
//! How long a lifecycle policy takes, by the number of images: `cargo bench -p hythe-rules --bench lifecycle`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hythe_model::{Algorithm, Digest};
use hythe_rules::lifecycle::{LifecycleImage, LifecyclePolicy, StorageClass, evaluate};
use jiff::{SignedDuration, Timestamp};

/// The rules that teams have: releases are kept, branches and leftovers go.
const USUAL: &str = r#"{"rules":[
    {"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["release-*"],"countType":"imageCountMoreThan","countNumber":100},"action":{"type":"expire"}},
    {"rulePriority":2,"selection":{"tagStatus":"tagged","tagPrefixList":["branch-"],"countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}},
    {"rulePriority":3,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}},
    {"rulePriority":4,"selection":{"tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":90},"action":{"type":"transition","targetStorageClass":"archive"}}
]}"#;

/// As many rules as there may be, with as many wildcards.
fn many_rules() -> String {
    let rule = |n: u32| {
        format!(
            r#"{{"rulePriority":{n},"selection":{{"tagStatus":"tagged","tagPatternList":["*a*{n}*e*"],"countType":"imageCountMoreThan","countNumber":9}},"action":{{"type":"expire"}}}}"#
        )
    };
    format!(r#"{{"rules":[{}]}}"#, (1..=50).map(rule).collect::<Vec<_>>().join(","))
}

fn images(count: u32, now: Timestamp) -> Vec<LifecycleImage> {
    let image = |n: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        let tags = match n % 4 {
            0 => vec![format!("release-{n}"), format!("1.{n}")],
            1 | 2 => vec![format!("branch-feature-{n}")],
            _ => Vec::new(),
        };
        let digest = Digest::new(Algorithm::Sha256, &hash).unwrap();
        LifecycleImage {
            digest,
            tags: tags.into_iter().map(|tag| tag.parse().unwrap()).collect(),
            pushed_at: now - SignedDuration::from_mins(i64::from(n.wrapping_mul(40_503) % 200_000)),
            last_pulled_at: n.is_multiple_of(3).then_some(now),
            archived_at: None,
            activated_at: None,
            storage_class: Some(StorageClass::Standard),
            size_bytes: 50_000_000,
            is_in_index: n % 7 == 3,
            subject: (n % 16 == 15).then_some(digest),
        }
    };
    (0..count).map(image).collect()
}

fn lifecycle(criterion: &mut Criterion) {
    let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    let many = many_rules();
    for (name, text) in [("four rules", USUAL), ("fifty rules", &many)] {
        let policy = LifecyclePolicy::parse(text).unwrap();
        let mut group = criterion.benchmark_group(name);
        for count in [1_000, 10_000, 100_000] {
            let images = images(count, now);
            group.throughput(Throughput::Elements(count.into()));
            group.bench_with_input(BenchmarkId::from_parameter(count), &images, |bencher, images| {
                bencher.iter(|| evaluate(black_box(&policy), black_box(images), now).len());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, lifecycle);
criterion_main!(benches);
