// SPDX-License-Identifier: Apache-2.0
//! What every command gets: the environment, the options, the time and the writer.

use hythe_client::{Arguments, Client, Environment, Settings};
use hythe_model::Clock;
use jiff::Timestamp;

use crate::error::CliError;
use crate::options::GlobalOptions;
use crate::writer::Writer;

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) environment: Environment,
    pub(crate) options: GlobalOptions,
    pub(crate) writer: Writer,
    clock: SystemClock,
}

impl Context {
    pub(crate) fn of_process(options: GlobalOptions, writer: Writer) -> Self {
        Self {
            environment: Environment::of_process(),
            options,
            writer,
            clock: SystemClock,
        }
    }

    pub(crate) fn settings(&self) -> Result<Settings, CliError> {
        self.settings_with(Arguments::default())
    }

    /// The settings with the global options over `arguments`.
    pub(crate) fn settings_with(&self, arguments: Arguments) -> Result<Settings, CliError> {
        let arguments = Arguments {
            endpoint: self.options.endpoint.clone(),
            profile: self.options.profile.clone().or(arguments.profile),
            ca_bundle: self.options.ca_bundle.clone(),
            ..arguments
        };
        Ok(Settings::resolve(&self.environment, &arguments)?)
    }

    pub(crate) fn client(&self) -> Result<Client, CliError> {
        Ok(Client::new(&self.settings()?)?)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where the command line reads the time"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
