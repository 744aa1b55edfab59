// SPDX-License-Identifier: Apache-2.0
//! The one error of parsing a short text.

/// Why a text is not a value of the type it was meant for.
///
/// The message names what was expected and the rule that the text breaks; it is meant for the client
/// that sent the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid {what}: {rule}", shorten(.text))]
pub struct ParseError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl ParseError {
    /// An error about `text`, which was meant to be a `what` and breaks `rule`.
    #[must_use]
    pub fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self {
            what,
            text: text.into(),
            rule,
        }
    }

    /// What the text was meant to be, such as `repository name`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The rule that the text breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// The longest part of a client's text that an error repeats.
const MAX_QUOTED_CHARS: usize = 128;

fn shorten(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .take(MAX_QUOTED_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}
