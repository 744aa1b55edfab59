// SPDX-License-Identifier: Apache-2.0
//! What the server does in the background, one file a pass.

pub(crate) mod archive;
pub(crate) mod collection;
pub(crate) mod lifecycle;
pub mod mirror;
pub(crate) mod pull_times;
pub(crate) mod replication;
pub(crate) mod retention;
pub mod scrub;
pub(crate) mod upstream;
