// SPDX-License-Identifier: Apache-2.0
//! What the fuzzer feeds: one function for each target, which panics if what it promises does not hold.
//!
//! `tests/fuzz` wraps each function in a program of libFuzzer's (`cargo xtask fuzz`); the test beside this library
//! replays what the fuzzer found worth keeping, so that every change is tested with it.
//!
//! Invariants:
//! - A target does the same whenever it gets the same bytes: no state from one run reaches the next.
//! - A target promises more than the absence of panics: what was read can be written and read again, what was
//!   accepted keeps its bounds, and no request is answered with a failure of ours.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "to panic is how a target says what it found"
)]

mod headers;
mod lifecycle;
mod manifests;
mod names;
mod paging;
mod paths;
mod plane;
mod policies;
mod ranges;
mod requests;
mod uploads;

pub use headers::headers;
pub use lifecycle::lifecycle;
pub use manifests::manifests;
pub use names::names;
pub use paging::paging;
pub use paths::paths;
pub use policies::policies;
pub use ranges::ranges;
pub use requests::requests;
pub use uploads::uploads;

/// A target by its name, which is also that of its corpus and of its program in `tests/fuzz`.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "headers",
        run: headers,
    },
    Target {
        name: "lifecycle",
        run: lifecycle,
    },
    Target {
        name: "manifests",
        run: manifests,
    },
    Target {
        name: "names",
        run: names,
    },
    Target {
        name: "paging",
        run: paging,
    },
    Target {
        name: "paths",
        run: paths,
    },
    Target {
        name: "policies",
        run: policies,
    },
    Target {
        name: "ranges",
        run: ranges,
    },
    Target {
        name: "requests",
        run: requests,
    },
    Target {
        name: "uploads",
        run: uploads,
    },
];

/// An input as text; `None` if it is none.
fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

/// The first line and the rest.
fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}
