// SPDX-License-Identifier: Apache-2.0
//! The policies that every deployment knows by name.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use hythe_access::PolicyName;
use hythe_model::ParseError;
use serde_json::json;

use crate::{NamedPolicy, Policy};

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

/// What ECR's own names have before ours.
const ECR_PREFIX: &str = "AmazonEC2ContainerRegistry";

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
    "ecr:ListLifecycleRuns",
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

// Who may do everything may also read what was done (ECR, `AmazonEC2ContainerRegistryFullAccess`).
const FULL: &[&str] = &["ecr:*", "cloudtrail:LookupEvents"];

static FULL_ACCESS: LazyLock<Ready> = LazyLock::new(|| Ready::of("FullAccess", FULL));
static POWER_USER: LazyLock<Ready> = LazyLock::new(|| Ready::of("PowerUser", &[READ, WRITE].concat()));
static PULL_ONLY: LazyLock<Ready> = LazyLock::new(|| Ready::of("PullOnly", PULL));
static READ_ONLY: LazyLock<Ready> = LazyLock::new(|| Ready::of("ReadOnly", READ));

struct Ready {
    document: String,
    named: NamedPolicy,
}

impl Ready {
    fn of(name: &str, actions: &[&str]) -> Self {
        let statement = json!({"Sid": name, "Effect": "Allow", "Action": actions, "Resource": "*"});
        let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        // A test reads every one of them; a policy without statements would allow nothing.
        let policy = Policy::parse_identity(&document).unwrap_or_else(|_| Policy::nothing());
        let named = NamedPolicy {
            name: name.into(),
            policy: Arc::new(policy),
        };
        Self { document, named }
    }
}

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

    /// The name, as one of policies.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "four names, each of which a test looks at"
    )]
    pub fn name(self) -> PolicyName {
        self.as_str().parse().expect("a name of letters")
    }

    /// The ARN. ECR's has `AmazonEC2ContainerRegistry` before the name, which is understood too.
    #[must_use]
    pub fn arn(self) -> String {
        format!("arn:aws:iam::aws:policy/{}", self.as_str())
    }

    /// What it is for.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::FullAccess => "May do everything in the registry.",
            Self::PowerUser => "May look at everything, pull and push.",
            Self::PullOnly => "May pull and nothing else.",
            Self::ReadOnly => "May look at everything and pull.",
        }
    }

    /// What it says.
    #[must_use]
    pub fn policy(self) -> &'static Policy {
        &self.named().policy
    }

    /// What it says, with its name.
    #[must_use]
    pub fn named(self) -> &'static NamedPolicy {
        &self.ready().named
    }

    /// Its document.
    #[must_use]
    pub fn document(self) -> &'static str {
        &self.ready().document
    }

    fn ready(self) -> &'static Ready {
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
        let name = text.strip_prefix(ECR_PREFIX).unwrap_or(text);
        Self::ALL
            .iter()
            .copied()
            .find(|policy| policy.as_str() == name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_say_what_the_policies_say() {
        for policy in ManagedPolicy::ALL {
            assert_eq!(&Policy::parse_identity(policy.document()).unwrap(), policy.policy());
            assert_eq!(policy.name().as_str(), policy.as_str());
            assert_eq!(
                format!("{ECR_PREFIX}{policy}").parse::<ManagedPolicy>().unwrap(),
                *policy
            );
        }
    }
}
