// SPDX-License-Identifier: Apache-2.0
//! Asking before something is deleted.

use clap::Args;

use crate::error::CliError;
use crate::writer::{ask, can_ask};

/// The option that answers the question beforehand.
#[derive(Args, Clone, Copy, Debug)]
pub struct Confirmation {
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Confirmation {
    /// Asks whether to `do_what`, unless the answer is there; without a terminal the answer has to be.
    pub(crate) fn check(self, do_what: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        if !can_ask() {
            return Err(CliError::Unconfirmed(do_what.into()));
        }
        let answer = ask(&format!("Really {do_what}? [y/N]"))?;
        if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(CliError::Declined)
        }
    }
}
