// SPDX-License-Identifier: Apache-2.0
//! What Terraform says by environment variables.

use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::ServeError;

/// The value of `TF_PLUGIN_MAGIC_COOKIE`: not a secret, but a sign that Terraform started the program.
const MAGIC_COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

#[derive(Debug)]
pub(super) struct Environment {
    has_cookie: bool,
    speaks_protocol_6: bool,
    /// PEM of Terraform's certificate. TLS is off only if there is none.
    pub client_certificate: Option<String>,
    pub socket_folder: Option<PathBuf>,
    /// Whether a seventh field is expected in the handshake.
    pub is_multiplex_asked: bool,
    pub log_level: LevelFilter,
    /// The process that started this one.
    pub parent: u32,
}

impl Environment {
    pub fn read() -> Self {
        Self::from_lookup(variable)
    }

    fn from_lookup(variable: impl Fn(&str) -> Option<String>) -> Self {
        let versions = variable("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
        let level = variable("TF_LOG_PROVIDER").or_else(|| variable("TF_LOG"));
        Self {
            has_cookie: variable("TF_PLUGIN_MAGIC_COOKIE").as_deref() == Some(MAGIC_COOKIE),
            speaks_protocol_6: versions.split(',').any(|version| version.trim() == "6"),
            client_certificate: variable("PLUGIN_CLIENT_CERT"),
            socket_folder: variable("PLUGIN_UNIX_SOCKET_DIR")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            is_multiplex_asked: variable("PLUGIN_MULTIPLEX_GRPC").is_some(),
            log_level: log_level(level.as_deref()),
            parent: std::os::unix::process::parent_id(),
        }
    }

    /// Whether Terraform started the program, and one that speaks this protocol.
    pub fn check(&self) -> Result<(), ServeError> {
        if !self.has_cookie {
            return Err(ServeError::NotAPlugin);
        }
        if !self.speaks_protocol_6 {
            return Err(ServeError::Protocol);
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the plugin handshake is made of environment variables"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Without a level nobody reads the log, except for what Terraform shows after a crash.
fn log_level(name: Option<&str>) -> LevelFilter {
    match name.map(str::to_ascii_uppercase).as_deref() {
        None | Some("" | "WARN") => LevelFilter::WARN,
        Some("ERROR") => LevelFilter::ERROR,
        Some("INFO") => LevelFilter::INFO,
        Some("DEBUG") => LevelFilter::DEBUG,
        Some("OFF") => LevelFilter::OFF,
        // Terraform, too, takes any other text for "everything".
        Some(_) => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terraform_with_protocol_6_may_start_the_program() {
        let cases = [
            // (cookie, versions, outcome)
            (Some(MAGIC_COOKIE), Some("5,6"), "ok"),
            (Some(MAGIC_COOKIE), Some("6"), "ok"),
            (Some(MAGIC_COOKIE), Some("5"), "protocol"),
            (Some(MAGIC_COOKIE), None, "protocol"),
            (Some("other"), Some("6"), "cookie"),
            (None, Some("6"), "cookie"),
        ];
        for (cookie, versions, want) in cases {
            let environment = Environment::from_lookup(|name| match name {
                "TF_PLUGIN_MAGIC_COOKIE" => cookie.map(str::to_owned),
                "PLUGIN_PROTOCOL_VERSIONS" => versions.map(str::to_owned),
                _ => None,
            });
            let outcome = match environment.check() {
                Ok(()) => "ok",
                Err(ServeError::NotAPlugin) => "cookie",
                Err(_) => "protocol",
            };
            assert_eq!(outcome, want, "{cookie:?} {versions:?}");
        }
    }

    #[test]
    fn log_levels_are_terraforms() {
        assert_eq!(log_level(None), LevelFilter::WARN);
        assert_eq!(log_level(Some("debug")), LevelFilter::DEBUG);
        assert_eq!(log_level(Some("JSON")), LevelFilter::TRACE);
        assert_eq!(log_level(Some("off")), LevelFilter::OFF);
    }
}
