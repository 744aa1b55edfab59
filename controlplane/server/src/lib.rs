// SPDX-License-Identifier: Apache-2.0
//! `hythe serve`: configuration, wiring, listeners, start and stop.
//!
//! The only crate that names concrete backends, and the only part of the server that reads the environment
//! and the present time.
//!
//! Invariants:
//! - Start-up and readiness do not depend on how much is stored.
//! - Every task has an owner; shutdown stops accepting, drains, waits out the grace period and reports what
//!   it gave up.
//! - Plain HTTP is spoken beyond loopback only if the operator said so.

mod args;
mod clock;
mod config;
mod creation;
mod data_dir;
mod descriptors;
mod file_socket;
mod health;
mod issuer_documents;
mod listener;
mod logs;
mod metrics;
mod passes;
mod program_pages;
mod progress;
mod pull_through;
mod refusal;
mod remotes;
mod rest_page;
mod serve;

mod tasks;
#[cfg(debug_assertions)]
mod test_hooks;
mod tls;
mod verified;
mod virtual_names;

pub use args::{ConfigCommand, ServeArgs};
pub use clock::SystemClock;
pub use config::{Config, ConfigError, reference_page};
pub use rest_page::rest_reference_page;
pub use serve::{ConfigForm, ServeError, check_config, serve};
