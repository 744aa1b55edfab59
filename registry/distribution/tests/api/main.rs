// SPDX-License-Identifier: Apache-2.0
//! The data plane from outside: the router in process, over the memory catalog, a blob store in a temporary
//! folder, a gate of its own, and a clock that stands still.
#![allow(clippy::unwrap_used, reason = "test code")]
#![allow(clippy::expect_used, reason = "test code")]
#![allow(clippy::panic, reason = "test code")]
#![allow(clippy::indexing_slicing, reason = "test code")]

mod access;
mod bad_input;
mod cache;
mod disk_failures;
mod failures;
mod formats;
mod fuzz;
mod limits;
mod listing;
mod pull;
mod push;
mod sockets;
mod specification;
mod support;
mod token;
mod translation;
mod virtual_repository;
