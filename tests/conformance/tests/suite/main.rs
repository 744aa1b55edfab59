// SPDX-License-Identifier: Apache-2.0
//! The whole table, in four modes: the data plane alone where everybody may do everything, the real server for the others.
#![allow(clippy::unwrap_used, reason = "test code")]

mod in_process;
mod served;
mod table;

use conformance::{HEADERS, Mode, Report, Target, checks, run};

/// Asks everything and insists that everything is right.
#[allow(clippy::print_stderr, reason = "the figures of a run are worth a look")]
fn expect_conformance(target: &Target) {
    let report: Report = run(target);
    eprintln!("{report}");
    let wanted = checks().filter(|check| check.modes.contains(&target.mode)).count();
    assert_eq!(report.failures().count(), 0, "{report}");
    assert_eq!((report.passed(), report.skipped()), (wanted, 0), "{report}");
    for header in report.observer.headers() {
        assert!(
            HEADERS.iter().any(|(known, _)| *known == header),
            "nobody knows `{header}`"
        );
    }
}

#[test]
fn everybody_may_do_everything() {
    let plane = in_process::Plane::start();
    expect_conformance(&plane.target());
}

/// Who has not logged in is asked to at `/v2/`, and is told of nothing whether it exists, where no policy lets everybody in.
const KEPT_FROM_STRANGERS: [&str; 12] = [
    "blob-delete-unknown",
    "error-documents",
    "head-unknown-repository",
    "manifest-delete-unknown",
    "manifest-put-unknown-repository",
    "manifest-unknown-repository",
    "mount-unknown-repository",
    "ping",
    "referrers-never-404",
    "tag-delete-unknown",
    "tags-unknown-repository",
    "upload-unknown-repository",
];

#[test]
fn without_a_login_where_policies_let_everybody_in() {
    let served = served::Served::start(&[]).unwrap();
    let report = run(&served.target(Mode::Anonymous).unwrap());
    let mut failures: Vec<_> = report.failures().map(|outcome| outcome.check.id).collect();
    failures.sort_unstable();
    assert_eq!(failures, KEPT_FROM_STRANGERS, "{report}");
    for outcome in report.failures() {
        let failure = outcome.failure.as_deref().unwrap_or_default();
        assert!(failure.contains("401"), "{}: {failure}", outcome.check.id);
    }
}

#[test]
fn with_user_and_password() {
    let served = served::Served::start(&[]).unwrap();
    expect_conformance(&served.target(Mode::Basic).unwrap());
}

#[test]
fn with_tokens() {
    let served = served::Served::start(&[]).unwrap();
    expect_conformance(&served.target(Mode::Bearer).unwrap());
}

#[test]
fn for_reading_only() {
    let served = served::Served::start(&[]).unwrap();
    expect_conformance(&served.target(Mode::ReadOnly).unwrap());
}

#[test]
fn with_tokens_on_postgresql() {
    let Some(cluster) = e2e::PostgresCluster::find_or_start().unwrap() else {
        return;
    };
    let database = cluster.create_database().unwrap();
    let served = served::Served::start(&["--database", &database]).unwrap();
    expect_conformance(&served.target(Mode::Bearer).unwrap());
}
