// SPDX-License-Identifier: Apache-2.0
//! Background passes, one file each.

pub(crate) mod collection;
pub(crate) mod lifecycle;
pub(crate) mod retention;
