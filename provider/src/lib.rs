// SPDX-License-Identifier: Apache-2.0
//! The Terraform provider of Hythe. The executable `terraform-provider-hythe` serves it; tests serve it in process.
//!
//! One file per resource, data source and function. What resources have in common is in `noun.rs`. Arguments are checked offline by the server's own parsers
//! (`hythe-model`), so `terraform validate` finds what an apply would be refused for.
//!
//! Invariants:
//! - Plans work without a server; with one, they predict ARNs and URLs.
//! - Reading is the only thing that says a repository is gone, and only the server's own code for that counts.
//! - A request that changes something is never abandoned half-way: an interrupt ends the waiting between attempts.
//! - No secret is in a diagnostic, in the state or in a log; `diagnostics.rs` is the only mapping of failures.
//!
//! Absent on purpose: data sources that return credentials, sleeps, retries of "not found".

#![allow(
    clippy::struct_field_names,
    reason = "the fields are the attributes of a schema, and ECR has named them"
)]
#![allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "a validator takes what the schema holds by reference, whatever it is"
)]

mod argument;
mod connection;
mod data_sources;
mod diagnostics;
mod ephemeral;
mod functions;
mod iam;
mod image_uri;
mod lifecycle;
mod noun;
pub mod pages;
mod policy;
mod provider;
mod resources;
mod tags;
mod version;

pub use provider::{HytheProvider, SOURCE};
