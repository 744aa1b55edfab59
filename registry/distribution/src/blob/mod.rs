// SPDX-License-Identifier: Apache-2.0
//! Blobs that are there: reading them, and linking them to another repository.

mod get;
mod mount;
mod multipart;

pub(crate) use get::{BlobReadError, get, head};
pub(crate) use mount::mount;
