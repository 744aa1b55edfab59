// SPDX-License-Identifier: Apache-2.0
//! Clients that cost next to nothing, so that a measurement is the server's.

pub mod body;
pub mod connection;
pub mod endpoint;
pub mod fetch;
pub mod head;
pub mod latency;
pub mod push;
pub mod schedule;
pub mod tls;
