// SPDX-License-Identifier: Apache-2.0
//! The table, in the order of the specification.

mod access;
mod api;
mod blob_pull;
mod chunks;
mod data;
mod delete;
mod exists;
mod manifest_pull;
mod manifest_push;
mod monolithic;
mod mount;
mod read_only;
mod referrers;
mod tags;

use crate::Check;

/// The parts of the table.
static PARTS: [&[Check]; 14] = [
    manifest_pull::CHECKS,
    blob_pull::CHECKS,
    exists::CHECKS,
    monolithic::CHECKS,
    chunks::CHECKS,
    mount::CHECKS,
    manifest_push::CHECKS,
    data::CHECKS,
    tags::CHECKS,
    referrers::CHECKS,
    delete::CHECKS,
    api::CHECKS,
    access::CHECKS,
    read_only::CHECKS,
];

/// Every check.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    PARTS.iter().copied().flatten()
}
