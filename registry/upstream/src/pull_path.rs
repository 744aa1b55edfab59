// SPDX-License-Identifier: Apache-2.0
//! By which repositories a question to an upstream came, so that registries that name each other do not ask for ever.
//!
//! It is what the sender says: it ends questions, and gives nobody a right.

use std::fmt;
use std::str::FromStr;

use hythe_model::{ParseError, RepositoryPath};
use sha2::{Digest as _, Sha256};

/// The header of a question to an upstream that lists the repositories that it came by.
pub const PULL_PATH_HEADER: &str = "hythe-pull-path";
/// The most repositories that a question may come by.
pub const MAX_PULL_STEPS: usize = 8;
/// How many bytes stand for a repository.
const STEP_BYTES: usize = 8;

const WHAT: &str = "path of a pull";
const RULE: &str = "it must be a list of 16 hexadecimal digits in lower case each, with commas between them";

/// A repository of a deployment. Others learn nothing from it but that it is the same one.
///
/// A deployment may come from itself, by other accounts or other names, so that it is not the deployment alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PullStep([u8; STEP_BYTES]);

impl PullStep {
    /// That of `repository` in the deployment with this id.
    #[must_use]
    pub fn of(deployment: &str, repository: &RepositoryPath) -> Self {
        let mut hash = Sha256::new();
        // None of them has a line break.
        hash.update(format!("{deployment}\n{}\n{}", repository.account, repository.name));
        let mut bytes = [0; STEP_BYTES];
        for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
            *byte = hashed;
        }
        Self(bytes)
    }
}

impl fmt::Display for PullStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for PullStep {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseError::new(WHAT, text, RULE);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 2 * STEP_BYTES || !text.bytes().all(is_hex) {
            return Err(error());
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| error())?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Why a question is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullPathError {
    /// Registries name each other as upstream.
    #[error("the question has come by this repository before: registries name each other as upstream")]
    Loop,
    /// Too many registries, one behind the other.
    #[error("the question has come by {MAX_PULL_STEPS} repositories, and that is the most")]
    TooLong,
}

/// The repositories that a question came by, the one that a client asked first; none if a client asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullPath(Vec<PullStep>);

impl PullPath {
    /// Whether a client asks, and no other registry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of the question that the repository asks in its turn.
    pub fn then(&self, step: PullStep) -> Result<Self, PullPathError> {
        if self.0.contains(&step) {
            return Err(PullPathError::Loop);
        }
        if self.0.len() >= MAX_PULL_STEPS {
            return Err(PullPathError::TooLong);
        }
        let steps = self.0.iter().copied().chain([step]);
        Ok(Self(steps.collect()))
    }
}

impl fmt::Display for PullPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(formatter, "{comma}{step}")?;
        }
        Ok(())
    }
}

impl FromStr for PullPath {
    type Err = ParseError;

    /// Of a path that is too long, only so much is read as shows that.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let steps = text.split(',').take(MAX_PULL_STEPS + 1).map(|part| part.trim().parse());
        steps.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u8) -> PullStep {
        PullStep([number; STEP_BYTES])
    }

    #[test]
    fn a_path_is_read_as_it_is_written() {
        let cases = [
            ("0123456789abcdef", true),
            ("0123456789abcdef, 0000000000000000", true),
            ("0123456789abcdef,0000000000000000", true),
            ("", false),
            ("0123456789ABCDEF", false),
            ("0123456789abcde", false),
            ("+123456789abcdef", false),
            ("0123456789abcdef,", false),
            ("eu/000000000000", false),
        ];
        for (text, is_valid) in cases {
            let path = text.parse::<PullPath>();
            assert_eq!(path.is_ok(), is_valid, "{text}");
            if let Ok(path) = path {
                assert_eq!(path.to_string().parse::<PullPath>().unwrap(), path);
            }
        }
    }

    #[test]
    fn a_path_ends_where_it_was_before_and_at_its_bound() {
        let mut path = PullPath::default();
        for number in 0..8 {
            assert!(path.is_empty() == (number == 0));
            path = path.then(step(number)).unwrap();
            assert_eq!(path.then(step(0)), Err(PullPathError::Loop));
        }
        assert_eq!(path.then(step(8)), Err(PullPathError::TooLong));
        let long = vec![step(9).to_string(); 1000].join(",");
        let long: PullPath = long.parse().unwrap();
        assert_eq!(long.then(step(8)), Err(PullPathError::TooLong));
        assert_eq!(long.then(step(9)), Err(PullPathError::Loop));
    }

    #[test]
    fn each_repository_of_each_deployment_is_another_step() {
        let path = |account: &str, name: &str| RepositoryPath {
            account: account.parse().unwrap(),
            name: name.parse().unwrap(),
        };
        let of = |deployment, account, name| PullStep::of(deployment, &path(account, name));
        let one = of("a", "000000000000", "hub/web");
        assert_eq!(one, of("a", "000000000000", "hub/web"));
        assert_ne!(one, of("b", "000000000000", "hub/web"));
        assert_ne!(one, of("a", "111111111111", "hub/web"));
        assert_ne!(one, of("a", "000000000000", "hub/api"));
        let text = one.to_string();
        assert_eq!(text.parse::<PullStep>().unwrap(), one);
    }
}
