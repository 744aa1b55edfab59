// SPDX-License-Identifier: Apache-2.0
//! The calls of the API, one file per noun, all as methods of [`crate::Client`].

mod access_key;
mod account;
mod audit;
mod authorization_token;
mod cache_rule;
mod creation_template;
mod deleted_image;
mod garbage_collection;
mod group;
mod identity_provider;
mod image;
mod lifecycle;
mod mirror;
mod page;
mod policy;
mod policy_simulation;
mod pull_time_exclusion;
mod registry;
mod replication;
mod repository;
mod resource_tag;
mod role;
mod role_session;
mod scrub;
mod signing_key;
mod tag;
mod user;
mod virtual_repository;

pub use audit::AuditTail;
