// SPDX-License-Identifier: Apache-2.0
//! Data sources that are not those of a noun (`noun.rs`). None of them returns credentials, and only those of images
//! enumerate images.

mod caller_identity;
mod image;
mod images;
mod lifecycle_policy_document;
mod policy_document;
mod registry;
mod repositories;
mod repository;

pub(crate) use caller_identity::CallerIdentity;
pub(crate) use image::Image;
pub(crate) use images::Images;
pub(crate) use lifecycle_policy_document::LifecyclePolicyDocument;
pub(crate) use policy_document::PolicyDocument;
pub(crate) use registry::Registry;
pub(crate) use repositories::Repositories;
pub(crate) use repository::RepositoryData;
