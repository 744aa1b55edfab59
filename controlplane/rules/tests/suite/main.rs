// SPDX-License-Identifier: Apache-2.0
//! What policies mean: tables of cases, and a slow evaluator that is compared with the fast one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code"
)]

mod agreement;
mod conditions;
mod decisions;
mod generate;
mod grammar;
mod lifecycle;
mod reference;
mod support;
