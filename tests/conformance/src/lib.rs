// SPDX-License-Identifier: Apache-2.0
//! The OCI Distribution Specification as a table: what it says a registry MUST, SHOULD or MAY do, each sentence with the
//! place it stands at and a test that asks a registry over HTTP. The texts are ours; the specification has the wording.
//!
//! The sentences are those of version 1.1.1 and of the text that follows it (sha512 throughout, `digest-algorithm`, `tag`
//! parameters, both digest headers, cancelling uploads), and the cases that the official suite knows with its switches on, but for
//! images (not indexes) that are sparse, which this registry refuses: `data-sparse-index` demands that.
//! [`checks`] is the table, [`run`] asks one registry everything that applies to a [`Mode`], [`page`] prints the table.
//!
//! Invariants:
//! - It links nothing of the product, so that a mistake there cannot hide here as well.
//! - A check passes or fails; there is no third outcome. What a registry answers as "unsupported" is a failure.
//! - Every answer that any check sees is looked at in general as well: `observer`.

mod checks;
mod content;
mod observer;
mod page;
mod run;
mod table;
mod target;
mod token;
mod wire;
mod world;

pub use checks::checks;
pub use observer::{HEADERS, Observer};
pub use page::page;
pub use run::{Outcome, Report, run};
pub use table::{Check, Level, Mode};
pub use target::{Login, RepositoryOptions, Target};
