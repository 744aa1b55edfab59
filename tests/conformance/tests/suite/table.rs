// SPDX-License-Identifier: Apache-2.0
//! What the table itself has to be.

use std::collections::BTreeSet;

use conformance::{Check, HEADERS, Level, Mode, checks, page};

#[test]
fn every_check_has_a_name_of_its_own_that_can_be_a_repositorys() {
    let mut ids = BTreeSet::new();
    for Check { id, text, modes, .. } in checks() {
        assert!(ids.insert(*id), "`{id}` is there twice");
        let is_name = id
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(is_name && !text.is_empty() && !modes.is_empty(), "{id}");
    }
}

#[test]
fn checks_of_a_section_stand_together() {
    let mut seen: Vec<&str> = Vec::new();
    for check in checks() {
        if seen.last() != Some(&check.section) {
            assert!(!seen.contains(&check.section), "`{}` is in two places", check.section);
            seen.push(check.section);
        }
    }
}

#[test]
fn every_header_that_promises_something_is_shown_by_a_check() {
    for (header, ids) in HEADERS {
        for id in *ids {
            assert!(
                checks().any(|check| check.id == *id),
                "`{header}` names `{id}`, which is no check"
            );
        }
    }
}

/// So that nobody makes a mode pass by taking its checks away.
#[test]
fn no_mode_loses_checks_unseen() {
    let counts = Mode::ALL.map(|mode| checks().filter(|check| check.modes.contains(&mode)).count());
    let musts = checks().filter(|check| check.level == Level::Must).count();
    assert_eq!((counts, musts), ([156, 160, 162, 74], 118));
    for mode in Mode::ALL {
        assert!(page().contains(&format!("| {mode} | ")), "{mode}");
    }
}

#[test]
fn the_page_in_the_documentation_is_this_table() {
    let path = e2e::binary::workspace_folder().join("docs/reference/conformance.md");
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, page(), "run `cargo xtask docs` and commit the result");
}

/// A registry that says yes to everything, and one that says no.
#[test]
fn a_server_that_always_answers_the_same_does_not_conform() {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    for status in ["200 OK", "404 Not Found"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let server = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let mut stream = stream.unwrap();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let target = conformance::Target {
            address: address.to_string(),
            mode: Mode::Anonymous,
            credentials: conformance::Login::Nobody,
            keeper: conformance::Login::Nobody,
            create_repository: Box::new(|_, _| Ok(())),
        };
        let report = conformance::run(&target);
        is_over.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(address);
        server.join().unwrap();
        let passed: Vec<_> = report
            .outcomes
            .iter()
            .filter(|it| it.failure.is_none())
            .map(|it| it.check.id)
            .collect();
        let nothing_to_tell = if status.starts_with("200") {
            &["ping"][..]
        } else {
            &["head-unknown", "head-unknown-repository"][..]
        };
        assert_eq!(passed, nothing_to_tell, "{status}");
    }
}
