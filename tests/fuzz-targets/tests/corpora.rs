// SPDX-License-Identifier: Apache-2.0
//! Replays what the fuzzer found worth keeping.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

/// All corpora together may have so many bytes: they are cloned with the project.
const MAX_CORPORA_BYTES: u64 = 2 * 1024 * 1024;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of tests/fuzz");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = files(&fuzz_folder().join("corpus").join(name));
    assert!(inputs.len() > 1, "{name} has no corpus");
    for input in inputs {
        let bytes = std::fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| (target.run)(&bytes));
        assert!(outcome.is_ok(), "{name} fails on {}", input.display());
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        mod corpus_of {
            $(#[test] fn $name() { super::replay(stringify!($name)); })*
        }
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets!(
    headers, lifecycle, manifests, names, paging, paths, policies, ranges, requests, uploads
);

#[test]
fn every_target_is_replayed_and_has_a_program() {
    let known: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(REPLAYED.iter().copied().collect::<BTreeSet<_>>(), known);
    let stems = |folder: &str| -> BTreeSet<String> {
        let paths = files(&fuzz_folder().join(folder)).into_iter();
        paths
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let known: BTreeSet<String> = known.into_iter().map(str::to_owned).collect();
    assert_eq!(stems("corpus"), known);
    assert_eq!(stems("fuzz_targets"), known);
}

#[test]
fn the_corpora_stay_small() {
    let folders = files(&fuzz_folder().join("corpus"));
    let bytes: u64 = folders
        .iter()
        .flat_map(|folder| files(folder))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(
        bytes <= MAX_CORPORA_BYTES,
        "{bytes} bytes: minimise them (cargo xtask fuzz --minimise)"
    );
}

#[test]
fn no_input_is_too_short_or_too_odd() {
    let long = [b'/'; 5000];
    for input in [
        &b""[..],
        b"\n",
        b"\n\n",
        b"\0",
        b"\xff",
        b"\xff\n\xff",
        b":",
        b"= \n=====\n",
        &long,
    ] {
        for target in TARGETS {
            (target.run)(input);
        }
    }
}
