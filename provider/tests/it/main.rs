// SPDX-License-Identifier: Apache-2.0
//! The provider in this process, with a stand-in for the server that fails on demand. What a real server shows is tested end to end,
//! in `tests/e2e`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]
#![allow(
    clippy::unnecessary_wraps,
    reason = "messages have optional members, and helpers that fill them"
)]

mod access;
mod access_calls;
mod access_server;
mod adoption;
mod calls;
mod examples;
mod failures;
mod pages;
mod schema;
mod server;
mod settings;
mod terraform;
