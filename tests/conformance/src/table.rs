// SPDX-License-Identifier: Apache-2.0
//! What a row of the table is.

use std::fmt;

use anyhow::Result;

use crate::world::World;

/// How a registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Without credentials, where everybody may do everything.
    Anonymous,
    /// With user and password in every request.
    Basic,
    /// With tokens, each asked for when a challenge names its scope.
    Bearer,
    /// As somebody who may only read what somebody else has pushed.
    ReadOnly,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anonymous, Self::Basic, Self::Bearer, Self::ReadOnly];
    /// Those that may write.
    pub const WRITING: [Self; 3] = [Self::Anonymous, Self::Basic, Self::Bearer];
    /// Those that have to say who they are.
    pub const KNOWN: [Self; 3] = [Self::Basic, Self::Bearer, Self::ReadOnly];
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Basic => "Basic",
            Self::Bearer => "Bearer",
            Self::ReadOnly => "read-only",
        })
    }
}

/// How binding a sentence is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// MUST or MUST NOT.
    Must,
    /// SHOULD or SHOULD NOT.
    Should,
    /// MAY: this registry does it, and then it has to be right.
    May,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

/// One sentence and its test.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Names it in reports; also the name of the repository it works in.
    pub id: &'static str,
    /// The section it stands in.
    pub section: &'static str,
    /// How binding it is.
    pub level: Level,
    /// What it says, in our words.
    pub text: &'static str,
    /// In which modes it applies.
    pub modes: &'static [Mode],
    /// The test.
    pub run: fn(&World<'_>) -> Result<()>,
}

impl Check {
    /// A check of everything that reads, in all modes.
    pub(crate) const fn reading(
        id: &'static str,
        section: &'static str,
        level: Level,
        text: &'static str,
        run: fn(&World<'_>) -> Result<()>,
    ) -> Self {
        Self {
            id,
            section,
            level,
            text,
            modes: &Mode::ALL,
            run,
        }
    }

    /// A check of something that writes.
    pub(crate) const fn writing(
        id: &'static str,
        section: &'static str,
        level: Level,
        text: &'static str,
        run: fn(&World<'_>) -> Result<()>,
    ) -> Self {
        Self {
            modes: &Mode::WRITING,
            ..Self::reading(id, section, level, text, run)
        }
    }

    /// The same check in other modes.
    pub(crate) const fn in_modes(self, modes: &'static [Mode]) -> Self {
        Self { modes, ..self }
    }
}
