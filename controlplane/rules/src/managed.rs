// SPDX-License-Identifier: Apache-2.0
//! The policies that every deployment knows by name.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use hythe_access::Action;
use hythe_model::ParseError;

use crate::{Effect, Policy};

/// A ready-made policy, by the name of its ECR model without the common prefix (ECR, "AWS managed policies
/// for Amazon ECR").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManagedPolicy {
    /// Everything of a registry.
    FullAccess,
    /// To read, to push and to pull.
    PowerUser,
    /// To pull.
    PullOnly,
    /// To read and to pull.
    ReadOnly,
}

const READ: &[&str] = &[
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetRepositoryPolicy",
    "ecr:DescribeRepositories",
    "ecr:ListImages",
    "ecr:DescribeImages",
    "ecr:BatchGetImage",
    "ecr:GetLifecyclePolicy",
    "ecr:GetLifecyclePolicyPreview",
    "ecr:ListTagsForResource",
    "ecr:DescribeImageScanFindings",
];
const WRITE: &[&str] = &[
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
];
const PULL: &[&str] = &[
    "ecr:GetAuthorizationToken",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchImportUpstreamImage",
];

static FULL_ACCESS: LazyLock<Policy> = LazyLock::new(|| Policy::allowing("FullAccess", &["ecr:*"]));
static POWER_USER: LazyLock<Policy> = LazyLock::new(|| Policy::allowing("PowerUser", &[READ, WRITE].concat()));
static PULL_ONLY: LazyLock<Policy> = LazyLock::new(|| Policy::allowing("PullOnly", PULL));
static READ_ONLY: LazyLock<Policy> = LazyLock::new(|| Policy::allowing("ReadOnly", READ));

/// For each policy, in the order of [`ManagedPolicy::ALL`], whether it allows each action, in the order of [`Action::ALL`].
static ALLOWED: LazyLock<Vec<Vec<bool>>> = LazyLock::new(|| {
    let allows = |policy: &Policy, action: Action| {
        let mut statements = policy.statements().iter();
        statements.any(|statement| statement.effect() == Effect::Allow && statement.is_about(action, "*"))
    };
    let row = |policy: &ManagedPolicy| {
        Action::ALL
            .iter()
            .map(|action| allows(policy.policy(), *action))
            .collect()
    };
    ManagedPolicy::ALL.iter().map(row).collect()
});

impl ManagedPolicy {
    /// All of them, by name.
    pub const ALL: &[Self] = &[Self::FullAccess, Self::PowerUser, Self::PullOnly, Self::ReadOnly];

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FullAccess => "FullAccess",
            Self::PowerUser => "PowerUser",
            Self::PullOnly => "PullOnly",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// Whether it allows an action. Managed policies are about all resources, and none denies anything.
    #[must_use]
    pub fn allows(self, action: Action) -> bool {
        let row = ALLOWED.get(self as usize);
        row.and_then(|row| row.get(action as usize)).copied().unwrap_or(false)
    }

    /// What it says.
    #[must_use]
    pub fn policy(self) -> &'static Policy {
        match self {
            Self::FullAccess => &FULL_ACCESS,
            Self::PowerUser => &POWER_USER,
            Self::PullOnly => &PULL_ONLY,
            Self::ReadOnly => &READ_ONLY,
        }
    }
}

impl FromStr for ManagedPolicy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| {
                ParseError::new(
                    "managed policy",
                    text,
                    "it must be ReadOnly, PowerUser, PullOnly or FullAccess",
                )
            })
    }
}

impl fmt::Display for ManagedPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
