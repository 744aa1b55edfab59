// SPDX-License-Identifier: Apache-2.0
//! `parse_arn`.

use hythe_model::RepositoryName;
use tfplugin::{Function, FunctionError, Object, Parameters, Result};

/// Takes an ARN apart.
///
/// The result is an object with `partition`, `service`, `region`, `registry_id`, `resource`, and `repository`: the name, if it
/// is the ARN of a repository, else null.
#[derive(Debug, Parameters)]
pub struct ParseArn {
    /// The ARN, such as `arn:aws:ecr:local:000000000000:repository/team/web`.
    pub arn: String,
}

/// The parts of an ARN.
#[derive(Debug, PartialEq, Eq, Object)]
pub struct ArnParts {
    /// The partition.
    pub partition: String,
    /// The service.
    pub service: String,
    /// The region.
    pub region: String,
    /// The account.
    pub registry_id: String,
    /// What the ARN names.
    pub resource: String,
    /// The name of the repository, if it is one.
    pub repository: Option<String>,
}

impl Function for ParseArn {
    const NAME: &'static str = "parse_arn";
    type Output = ArnParts;

    fn call(self) -> Result<ArnParts, FunctionError> {
        let fail = || {
            let message = format!(
                "`{}` is no ARN: it looks like `arn:aws:ecr:<region>:<account>:repository/<name>`",
                self.arn
            );
            FunctionError::argument("arn", message)
        };
        let mut parts = self.arn.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(fail);
        if next()? != "arn" {
            return Err(fail());
        }
        let (partition, service, region, account, resource) = (next()?, next()?, next()?, next()?, next()?);
        if partition.is_empty() || service.is_empty() || resource.is_empty() {
            return Err(fail());
        }
        let repository = match (service, resource.strip_prefix("repository/")) {
            ("ecr", Some(name)) => Some(name.parse::<RepositoryName>().map_err(|_| fail())?.into()),
            _ => None,
        };
        Ok(ArnParts {
            partition: partition.into(),
            service: service.into(),
            region: region.into(),
            registry_id: account.into(),
            resource: resource.into(),
            repository,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_taken_apart() {
        let cases = [
            (
                "arn:aws:ecr:local:000000000000:repository/team/web",
                Some("aws ecr local 000000000000 repository/team/web team/web"),
            ),
            (
                "arn:aws:iam::000000000000:user/a:b",
                Some("aws iam  000000000000 user/a:b -"),
            ),
            ("arn:aws:ecr:local:000000000000:repository/", None),
            ("arn:aws:ecr:local:000000000000", None),
            ("arn:aws:ecr:local:000000000000:", None),
            ("x:aws:ecr:local:000000000000:repository/web", None),
            ("", None),
        ];
        for (arn, want) in cases {
            let got = ParseArn { arn: arn.into() }.call().ok();
            let shown = got.map(|it| {
                let repository = it.repository.unwrap_or_else(|| "-".into());
                format!(
                    "{} {} {} {} {} {repository}",
                    it.partition, it.service, it.region, it.registry_id, it.resource
                )
            });
            assert_eq!(shown.as_deref(), want, "{arn}");
        }
    }
}
