// SPDX-License-Identifier: Apache-2.0
//! Every test of the metadata store, each on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::too_many_lines,
    reason = "test code"
)]

mod access_key;
mod audit;
mod backfill;
mod cache;
mod catalog;
mod concurrency;
mod contents;
mod creation_template;
mod deleted_image;
mod durability;
mod harness;
mod identity_provider;
mod image;
mod lifecycle;
mod mirror;
mod order;
mod plan;
mod policy;
mod principal;
mod replication;
mod replication_shares;
mod repository;
mod scrub;
mod signing_key;
mod storage_class;
mod tag;
mod tag_rollback;
mod token;
mod upload;
mod upstream;
mod user;
mod virtual_repository;
