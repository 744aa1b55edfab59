// SPDX-License-Identifier: Apache-2.0
//! Amazon resource names, spelt as ECR spells them.

use std::fmt;
use std::str::FromStr;

use crate::{AccountId, ParseError, Region, RepositoryName, RepositoryPath};

/// The ARN of a repository: `arn:aws:ecr:<region>:<account>:repository/<name>`.
///
/// The partition is always `aws`, so that policies written for ECR work unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryArn {
    /// The region of the deployment.
    pub region: Region,
    /// The repository.
    pub repository: RepositoryPath,
}

impl FromStr for RepositoryArn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || {
            ParseError::new(
                "repository ARN",
                text,
                "it must be `arn:aws:ecr:<region>:<account>:repository/<name>`",
            )
        };
        let rest = text.strip_prefix("arn:aws:ecr:").ok_or_else(fail)?;
        let (region, rest) = rest.split_once(':').ok_or_else(fail)?;
        let (account, rest) = rest.split_once(':').ok_or_else(fail)?;
        let name = rest.strip_prefix("repository/").ok_or_else(fail)?;
        let region: Region = region.parse().map_err(|_| fail())?;
        let account: AccountId = account.parse().map_err(|_| fail())?;
        let name: RepositoryName = name.parse().map_err(|_| fail())?;
        Ok(Self {
            region,
            repository: RepositoryPath { account, name },
        })
    }
}

impl fmt::Display for RepositoryArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RepositoryPath { account, name } = &self.repository;
        write!(formatter, "arn:aws:ecr:{}:{account}:repository/{name}", self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_arns_round_trip() {
        let text = "arn:aws:ecr:local:000000000000:repository/team-a/web";
        assert_eq!(text.parse::<RepositoryArn>().unwrap().to_string(), text);
        for bad in [
            "",
            "arn:aws:ecr",
            "arn:aws:s3:local:000000000000:repository/ab",
            "arn:aws:ecr:local:1:repository/ab",
        ] {
            assert!(bad.parse::<RepositoryArn>().is_err(), "{bad}");
        }
    }
}
