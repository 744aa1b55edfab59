// SPDX-License-Identifier: Apache-2.0
//! The commands, one file per noun.

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod completion;
pub(crate) mod configure;
mod deleted_image;
pub(crate) mod gc;
pub(crate) mod group;
pub(crate) mod identity_provider;
pub(crate) mod image;
mod image_delete;
pub(crate) mod lifecycle;
mod lifecycle_preview;
mod lifecycle_run;
pub(crate) mod login;
pub(crate) mod login_identity;
pub(crate) mod logout;
pub(crate) mod policy;
pub(crate) mod policy_explain;
pub(crate) mod pull_time_exclusion;
pub(crate) mod registry;
pub(crate) mod registry_policy;
pub(crate) mod replication;
mod replication_destination;
pub(crate) mod repository;
pub(crate) mod repository_policy;
mod repository_template;
pub(crate) mod role;
pub(crate) mod role_session;
pub(crate) mod scrub;
pub(crate) mod signing_key;
pub(crate) mod tag;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod virtual_repository;
pub(crate) mod whoami;
