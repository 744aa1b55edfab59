// SPDX-License-Identifier: Apache-2.0
//! What the servers are made to do, beyond single requests.

pub mod fill;
pub mod garbage;
pub mod image;
pub mod open_loop;
