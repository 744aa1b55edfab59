// SPDX-License-Identifier: Apache-2.0
//! Background passes with a file of their own.

pub(crate) mod lifecycle;
pub(crate) mod retention;
