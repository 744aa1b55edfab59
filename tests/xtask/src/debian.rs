// SPDX-License-Identifier: Apache-2.0
//! Clients that later Debian suites have and this machine's does not. Their programs need little but the C library, so
//! they are taken out of their packages, into our own folder: nothing of the system changes, and nobody need be root.
//!
//! Packages come from the mirror that the machine's own apt uses, with its key, through lists and a cache of our own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::binary::workspace_folder;
use e2e::client;

use crate::command::{TOOLS, works};
use crate::say;

/// A client, where it comes from, and which tests need it.
#[derive(Debug)]
pub struct Client {
    package: &'static str,
    suite: &'static str,
    /// What it is called here.
    program: &'static str,
    /// The module of its end-to-end tests.
    module: &'static str,
}

/// `sid` moves: what it offers may be newer than what is written here, or gone.
const CLIENTS: &[Client] = &[
    Client {
        package: "oras",
        suite: "trixie",
        program: "oras",
        module: "oras",
    },
    Client {
        package: "cosign",
        suite: "trixie",
        program: "cosign",
        module: "cosign2",
    },
    Client {
        package: "cosign",
        suite: "sid",
        program: "cosign-3",
        module: "cosign3",
    },
    Client {
        package: "crane",
        suite: "sid",
        program: "crane",
        module: "crane",
    },
    Client {
        package: "notation",
        suite: "sid",
        program: "notation",
        module: "notation",
    },
];

/// Where the machine's apt gets Debian from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    mirror: String,
    key: Option<String>,
}

/// Gets what is missing, as far as it is to be had.
pub fn later_clients() -> Result<()> {
    let missing = absent();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|client| client.program).collect();
    say::line(&format!("    missing: {} (of later Debian suites)", names.join(", ")));
    let Some(source) = source()? else {
        say::line(
            "    they are taken from a Debian mirror, and apt names none here; elsewhere please install them by hand",
        );
        return Ok(());
    };
    let apt = Apt::new(&source)?;
    if !apt.works(&["update", "-qq"]) {
        say::line("    the mirror does not offer the suites that they are in");
        return Ok(());
    }
    let bin = workspace_folder().join(TOOLS).join("bin");
    std::fs::create_dir_all(&bin)?;
    for client in missing {
        if let Err(error) = apt.take(client, &bin) {
            say::line(&format!("    {}: {error:#}", client.program));
        }
    }
    Ok(())
}

/// The clients that are not there.
pub fn absent() -> Vec<&'static Client> {
    CLIENTS
        .iter()
        .filter(|client| client::path_of(client.program).is_none())
        .collect()
}

/// What nextest is asked to leave out, and why, for the clients that are not there.
pub fn left_out() -> Option<(String, String)> {
    let absent = absent();
    let modules: Vec<&str> = absent.iter().map(|client| client.module).collect();
    let names: Vec<&str> = absent.iter().map(|client| client.program).collect();
    (!absent.is_empty()).then(|| {
        (
            format!(" - test(/^({})::/)", modules.join("|")),
            format!("NOT TESTED: {} (no Debian suite offers it here)", names.join(", ")),
        )
    })
}

/// apt with sources, lists and a cache of its own, which go when it goes.
struct Apt {
    folder: tempfile::TempDir,
}

impl Apt {
    fn new(source: &Source) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hythe-apt-").tempdir()?;
        for name in ["lists/partial", "cache/archives/partial", "packages"] {
            std::fs::create_dir_all(folder.path().join(name))?;
        }
        let mut suites: Vec<&str> = CLIENTS.iter().map(|client| client.suite).collect();
        suites.sort_unstable();
        suites.dedup();
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\n",
            source.mirror,
            suites.join(" ")
        );
        if let Some(key) = &source.key {
            let _ = writeln!(text, "Signed-By: {key}");
        }
        std::fs::write(folder.path().join("later.sources"), text)?;
        Ok(Self { folder })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new("apt-get");
        for option in [
            format!("Dir::Etc::SourceList={}", path("later.sources")),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={}", path("lists")),
            format!("Dir::Cache={}", path("cache")),
            // The folder is ours alone; apt's own user could not write there.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.args(arguments).current_dir(self.folder.path().join("packages"));
        command
    }

    fn works(&self, arguments: &[&str]) -> bool {
        works(&mut self.command(arguments))
    }

    /// Takes the program out of its package.
    fn take(&self, client: &Client, bin: &Path) -> Result<()> {
        let package = format!("{}/{}", client.package, client.suite);
        ensure!(self.works(&["download", "-qq", &package]), "`{package}` is not offered");
        let packages = self.folder.path().join("packages");
        let file = only_file(&packages)?.context("apt says it downloaded something, and did not")?;
        let unpacked = self.folder.path().join(client.program);
        let mut unpack = Command::new("dpkg-deb");
        let is_unpacked = works(unpack.arg("--extract").arg(&file).arg(&unpacked));
        std::fs::remove_file(file)?;
        ensure!(is_unpacked, "the package cannot be unpacked");
        let program = unpacked.join("usr/bin").join(client.package);
        ensure!(works(Command::new(&program).arg("--help")), "it does not run here");
        // In place as a whole or not at all.
        let place = bin.join(client.program);
        let beside = bin.join(format!("{}.new", client.program));
        std::fs::copy(&program, &beside)?;
        std::fs::rename(beside, place)?;
        Ok(())
    }
}

fn only_file(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(std::fs::read_dir(folder)?.next().transpose()?.map(|entry| entry.path()))
}

/// The mirror, from the machine's own configuration of apt.
fn source() -> Result<Option<Source>> {
    if client::path_of("apt-get").is_none() || client::path_of("dpkg-deb").is_none() {
        return Ok(None);
    }
    let Some(codename) = std::fs::read_to_string("/etc/os-release")
        .ok()
        .and_then(|text| codename(&text))
    else {
        return Ok(None);
    };
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        for entry in entries {
            files.push(entry?.path());
        }
    }
    files.sort();
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    Ok(texts.into_iter().find_map(|text| source_in(&text, &codename)))
}

fn codename(os_release: &str) -> Option<String> {
    let value = |name: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    (value("ID")?.trim_matches('"') == "debian").then_some(())?;
    Some(value("VERSION_CODENAME")?.trim_matches('"').to_owned())
}

/// The source of the suite `codename` in a file of either form (`sources.list(5)`).
fn source_in(text: &str, codename: &str) -> Option<Source> {
    let in_stanza = |stanza: &str| {
        let field = |name: &str| {
            let mut lines = stanza.lines().filter(|line| !line.starts_with('#'));
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(value.trim().to_owned())
        };
        let is_it = field("Types")?.split_whitespace().any(|kind| kind == "deb")
            && field("Suites")?.split_whitespace().any(|suite| suite == codename)
            && field("Components")?
                .split_whitespace()
                .any(|component| component == "main");
        is_it.then_some(())?;
        Some(Source {
            mirror: field("URIs")?.split_whitespace().next()?.to_owned(),
            key: field("Signed-By").filter(|key| key.starts_with('/')),
        })
    };
    let in_line = |line: &str| {
        let line = line.strip_prefix("deb ")?.trim();
        let (options, rest) = match line.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", line),
        };
        let mut words = rest.split_whitespace();
        let (mirror, suite) = (words.next()?, words.next()?);
        (suite == codename && words.any(|component| component == "main")).then_some(())?;
        let key = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        Some(Source {
            mirror: mirror.to_owned(),
            key: key.map(str::to_owned),
        })
    };
    text.split("\n\n")
        .find_map(in_stanza)
        .or_else(|| text.lines().find_map(in_line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_both_forms() {
        let stanzas = "# a comment\nTypes: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main\n\n\
                       Types: deb deb-src\n# another\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                       Components: main contrib\nSigned-By: /usr/share/keyrings/debian.gpg\n";
        let lines = "# deb http://old.example/debian bookworm main\n\
                     deb http://mirror.example/security bookworm-security main\n\
                     deb [arch=amd64 signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm main\n";
        let want = Source {
            mirror: "http://mirror.example/debian".to_owned(),
            key: Some("/usr/share/keyrings/debian.gpg".to_owned()),
        };
        for text in [stanzas, lines] {
            assert_eq!(source_in(text, "bookworm").as_ref(), Some(&want), "{text}");
            assert_eq!(source_in(text, "trixie"), None, "{text}");
        }
        let plain = source_in("deb http://mirror.example/debian bookworm main", "bookworm");
        assert_eq!(plain.and_then(|source| source.key), None);
    }

    #[test]
    fn the_codename_is_debians() {
        let of = |text: &str| codename(text);
        assert_eq!(
            of("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(of("VERSION_CODENAME=\"noble\"\nID=ubuntu\n"), None);
        assert_eq!(of(""), None);
    }
}
