// SPDX-License-Identifier: Apache-2.0
//! The one place that writes: answers to standard output, everything else to standard error.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use hythe_client::Environment;
use hythe_client::wire::Secret;
use serde::Serialize;

use crate::error::CliError;
use crate::human::plain;
use crate::options::{ColorChoice, GlobalOptions, OutputFormat};
use crate::report::Report;
use crate::table::Table;

/// The longest line that a user types, in bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024;

const RED: &str = "\x1b[1;31m";
const CYAN: &str = "\x1b[1;36m";
const RESET: &str = "\x1b[0m";

/// Writes answers and messages as the options want them.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    format: OutputFormat,
    is_quiet: bool,
    is_coloured: bool,
    width: Option<u16>,
}

impl Writer {
    pub(crate) fn new(options: &GlobalOptions) -> Self {
        let is_coloured = match options.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => std::io::stderr().is_terminal() && Environment::of_process().get("NO_COLOR").is_none(),
        };
        let width = std::io::stdout()
            .is_terminal()
            .then(|| comfy_table::Table::new().width())
            .flatten();
        Self {
            format: options.output,
            is_quiet: options.quiet,
            is_coloured,
            width,
        }
    }

    /// An answer: `value` as JSON, or as the table that `table` makes.
    pub(crate) fn answer(&self, value: &impl Serialize, table: impl FnOnce() -> Table) -> Result<(), CliError> {
        match self.format {
            OutputFormat::Table => write_out(&table().render(self.width)),
            OutputFormat::Json => write_json(value),
        }
    }

    /// An answer: `value` as JSON, or `text`.
    pub(crate) fn answer_text(&self, value: &impl Serialize, text: &str) -> Result<(), CliError> {
        match self.format {
            OutputFormat::Table => write_out(text),
            OutputFormat::Json => write_json(value),
        }
    }

    /// A remark for people; not with `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            message(&plain(text));
        }
    }

    /// What the user has to do before the command can go on; also with `--quiet`.
    #[allow(clippy::unused_self, reason = "what is written goes through the writer")]
    pub(crate) fn prompt(&self, text: &str) {
        message(&plain(text));
    }

    /// What went wrong.
    pub(crate) fn report(&self, report: &Report) {
        let Some(text) = &report.message else { return };
        let (red, cyan, reset) = if self.is_coloured {
            (RED, CYAN, RESET)
        } else {
            ("", "", "")
        };
        message(&format!("{red}error:{reset} {}", plain(text)));
        for cause in &report.causes {
            message(&format!("  caused by: {}", plain(cause)));
        }
        if let Some(hint) = &report.hint {
            message(&format!("{cyan}hint:{reset} {}", plain(hint)));
        }
    }

    /// Whether somebody watches standard error and wants to.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.is_quiet && std::io::stderr().is_terminal()
    }
}

/// An answer that is the same text in every form.
pub(crate) fn write_out(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    // What is piped stays as it is.
    let text = if out.is_terminal() { plain(text) } else { text.into() };
    let ending = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    write!(out, "{text}{ending}")
        .and_then(|()| out.flush())
        .map_err(CliError::Output)
}

fn write_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Output(error.into()))?;
    write_out(&text)
}

fn message(text: &str) {
    // Standard error that is gone leaves nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question and reads a line.
pub(crate) fn ask(question: &str) -> Result<String, CliError> {
    prompt(question)?;
    read_line()
}

/// Reads a secret: from a terminal without showing it, else the first line of standard input.
pub(crate) async fn ask_secret(question: &str) -> Result<Secret, CliError> {
    if !std::io::stdin().is_terminal() {
        return read_line().map(Secret::new);
    }
    let _echo = EchoOff::new();
    prompt(question)?;
    // A thread of its own, since a read of a terminal cannot be cancelled: Ctrl-C must restore the echo first.
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || send.send(read_line()));
    let line = tokio::select! {
        line = receive => line.unwrap_or(Err(CliError::Interrupted)),
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    };
    message("");
    line.map(Secret::new)
}

fn prompt(question: &str) -> Result<(), CliError> {
    let mut err = std::io::stderr().lock();
    write!(err, "{question} ")
        .and_then(|()| err.flush())
        .map_err(CliError::Output)
}

fn read_line() -> Result<String, CliError> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(MAX_LINE_BYTES);
    input.read_line(&mut line).map_err(CliError::Output)?;
    Ok(line.trim().to_owned())
}

/// Keeps a terminal from showing what is typed, as long as it lives.
struct EchoOff(Option<rustix::termios::Termios>);

impl EchoOff {
    fn new() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let input = std::io::stdin();
        let Ok(before) = tcgetattr(&input) else {
            return Self(None);
        };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let is_set = tcsetattr(&input, OptionalActions::Flush, &silent).is_ok();
        Self(is_set.then_some(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}
