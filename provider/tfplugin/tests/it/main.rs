// SPDX-License-Identifier: Apache-2.0
//! The crate as Terraform meets it: the sample provider `shelf` under the real
//! program, by reattach and by the real handshake, and under the generated
//! client for calls that are newer than the program at hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

#[path = "../../examples/shelf/provider/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example uses all of it")]
mod shelf;

mod calls;
mod failures;
mod golden;
mod handshake;
mod lifecycle;
mod newer_calls;
mod special;
mod support;
