// SPDX-License-Identifier: Apache-2.0
//! The registry that is asked, and as whom.

use std::fmt;

use anyhow::Result;

use crate::Mode;

/// How a sender shows who it is.
#[derive(Clone, Debug)]
pub enum Login {
    /// Not at all.
    Nobody,
    /// User and password in every request.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// User and password for the token endpoint, tokens for the rest.
    Bearer {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

/// What a check wants of a repository.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepositoryOptions {
    /// Indexes may list manifests that the repository does not have.
    pub allows_sparse_indexes: bool,
}

/// Makes a repository of that name: the specification has no way to.
pub type CreateRepository = dyn Fn(&str, RepositoryOptions) -> Result<()>;

/// A registry to ask.
pub struct Target {
    /// `host:port`, plain HTTP.
    pub address: String,
    /// Which checks apply.
    pub mode: Mode,
    /// As whom it is asked.
    pub credentials: Login,
    /// Who puts there what is to be read; the same, unless that one may only read.
    pub keeper: Login,
    /// Makes a repository.
    pub create_repository: Box<CreateRepository>,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Target")
            .field("address", &self.address)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
