// SPDX-License-Identifier: Apache-2.0
//! Blobs that are there: reading them, linking them to another repository, and taking them out of one.

mod delete;
mod get;
mod mount;
mod multipart;

pub(crate) use delete::{DeleteBlobError, delete};
pub(crate) use get::{BlobReadError, get, head};
pub(crate) use mount::mount;
