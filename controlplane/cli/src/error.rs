// SPDX-License-Identifier: Apache-2.0
//! What can go wrong in a command.

use std::path::{Path, PathBuf};

use hythe_client::registry::TransferError;
use hythe_client::{ClientError, EndpointError, SettingsError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// It is not known which server is meant, or as whom.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The control plane cannot be asked, or says no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody logged in at the identity provider.
    #[error(transparent)]
    Oidc(#[from] hythe_client::oidc::OidcError),
    /// An image did not arrive.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The server named a registry that is none.
    #[error("the server's registry")]
    Registry(#[from] EndpointError),
    /// A file is no policy.
    #[error("the policy is not valid: {0}")]
    Policy(hythe_rules::PolicyError),
    /// A file is no lifecycle policy.
    #[error("{error} (at `{}` of the document)", error.pointer())]
    LifecyclePolicy {
        /// What is wrong with it.
        error: hythe_rules::lifecycle::LifecyclePolicyError,
    },
    /// A lifecycle policy could not be evaluated.
    #[error("the {what} of the lifecycle policy did not come to its end: {reason}")]
    LifecycleRun {
        /// A run or a preview.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The arguments do not make sense together.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: &'static str,
    },
    /// Something would be deleted, and nobody can be asked.
    #[error("cannot ask whether to {0}: this is not a terminal")]
    Unconfirmed(String),
    /// The user said no.
    #[error("nothing was done")]
    Declined,
    /// Some images stay.
    #[error("{failed} of {wanted} images were not deleted")]
    NotDeleted {
        /// How many stay.
        failed: usize,
        /// How many were to go.
        wanted: usize,
    },
    /// A container tool is not installed or refuses.
    #[error("`{tool}` {problem}")]
    Tool {
        /// The tool.
        tool: &'static str,
        /// What it did.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} `{}`", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Docker's configuration is not JSON of the expected shape.
    #[error("`{}` is not a Docker configuration: {problem}", .path.display())]
    DockerConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The audit log is not as it was written.
    #[error("the audit log is not as it was written: {reason}")]
    Tampered {
        /// The first record that is not.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A scrub has found so much.
    #[error("{} with what is stored", crate::human::counted(*.0, "finding"))]
    Unsound(u64),
    /// A scrub could not go on.
    #[error("the scrub could not go on: {0}")]
    ScrubFailed(String),
    /// A mirror is not up to date.
    #[error("the mirror is not up to date: {0}")]
    MirrorBehind(String),
    /// A pull-through cache rule cannot be used.
    #[error("{upstream} cannot be used: {reason}")]
    RuleUnusable {
        /// The other registry.
        upstream: String,
        /// Why not.
        reason: String,
    },
    /// What went wrong, with a hint that knows the arguments of the command.
    #[error("{error}")]
    Hinted {
        /// What went wrong.
        error: Box<CliError>,
        /// What to do.
        hint: String,
    },
    /// There is no home folder to write to.
    #[error("no home folder is known")]
    NoHome,
    /// Standard input or output is broken.
    #[error("cannot write the answer")]
    Output(#[source] std::io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// The same with another hint.
    pub(crate) fn hinted(self, hint: impl Into<String>) -> Self {
        Self::Hinted {
            error: Box::new(self),
            hint: hint.into(),
        }
    }

    /// The code of the server's answer, if it said no.
    pub(crate) fn problem_code(&self) -> Option<&str> {
        match self {
            Self::Client(ClientError::Problem { problem, .. }) => Some(&problem.code),
            _ => None, // whatever else went wrong has no code
        }
    }
}

/// Makes the error of a file operation on `path`.
pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.to_path_buf();
    move |source| CliError::File { what, path, source }
}
