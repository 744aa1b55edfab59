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

#[test]
fn without_a_login_where_the_registry_policy_lets_everybody_in() {
    let served = served::Served::start(&[]).unwrap();
    expect_conformance(&served.target(Mode::Anonymous).unwrap());
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
