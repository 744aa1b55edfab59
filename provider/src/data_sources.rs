// SPDX-License-Identifier: Apache-2.0
//! Data sources that are not those of a noun (`noun.rs`). None of them returns credentials, and none enumerates images.

mod caller_identity;
mod policy_document;
mod registry;
mod repositories;
mod repository;

pub(crate) use caller_identity::CallerIdentity;
pub(crate) use policy_document::PolicyDocument;
pub(crate) use registry::Registry;
pub(crate) use repositories::Repositories;
pub(crate) use repository::RepositoryData;
