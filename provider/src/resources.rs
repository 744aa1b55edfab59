// SPDX-License-Identifier: Apache-2.0
//! Managed resources and their lists.

mod repository;

pub(crate) use repository::{Repository, RepositoryList};
