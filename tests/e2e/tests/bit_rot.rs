// SPDX-License-Identifier: Apache-2.0
//! Bit rot: files of blobs whose bytes are no longer those that were stored.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::churn::noise;
use e2e::http::Response;
use e2e::leftovers::{HEADER_BYTES, query};
use e2e::registry::digest;
use e2e::{RegistryClient, Server, ServerOptions};

/// More than one frame of whatever is hashed or read at a time.
const BYTES: usize = 1_500_000;

/// What happens to the file of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// One bit of the header.
    Header,
    /// One bit of the content, at its begin, in its middle, at its end.
    Begin,
    Middle,
    End,
    /// The last byte is gone.
    Truncated,
    /// One byte more.
    Longer,
    /// The whole file is gone.
    Missing,
    /// Another blob's file, sound in itself, under this one's name.
    Swapped,
}

impl Damage {
    /// What the header of the file shows without reading the content.
    const VISIBLE: [Self; 5] = [
        Self::Header,
        Self::Truncated,
        Self::Longer,
        Self::Missing,
        Self::Swapped,
    ];
    /// What only reading shows.
    const HIDDEN: [Self; 3] = [Self::Begin, Self::Middle, Self::End];
}

/// A server with one sound blob and one that is damaged while it does not run.
struct Patient {
    server: Server,
    sound: Vec<u8>,
    damaged: Vec<u8>,
}

impl Patient {
    fn new(damage: Damage, arguments: &[&str]) -> Result<Self> {
        let mut server = Server::start_with(ServerOptions {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            ..ServerOptions::default()
        })?;
        server.create_repository("web")?;
        server.create_repository("other")?;
        let client = RegistryClient::new(&server);
        let sound = noise(&format!("sound {damage:?}"), BYTES);
        let damaged = noise(&format!("damaged {damage:?}"), BYTES);
        for bytes in [&sound, &damaged] {
            client.push_blob("web", bytes)?;
        }
        server.kill9()?;
        let patient = Self { server, sound, damaged };
        patient.damage(damage)?;
        let Self {
            mut server,
            sound,
            damaged,
        } = patient;
        server.restart()?;
        Ok(Self { server, sound, damaged })
    }

    fn file(&self, bytes: &[u8]) -> Result<PathBuf> {
        let digest = digest(bytes);
        let (algorithm, hex) = digest.split_once(':').context("not a digest")?;
        let folder = self.server.data_folder().join("blobs/blobs").join(algorithm);
        Ok(folder.join(&hex[..2]).join(hex))
    }

    fn damage(&self, damage: Damage) -> Result<()> {
        let path = self.file(&self.damaged)?;
        let file = File::options().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let flip = |place: u64| -> Result<()> {
            let mut byte = [0];
            file.read_exact_at(&mut byte, place)?;
            Ok(file.write_all_at(&[byte[0] ^ 0x10], place)?)
        };
        match damage {
            Damage::Header => flip(30),
            Damage::Begin => flip(HEADER_BYTES),
            Damage::Middle => flip(HEADER_BYTES + BYTES as u64 / 2),
            Damage::End => flip(length - 1),
            Damage::Truncated => Ok(file.set_len(length - 1)?),
            Damage::Longer => Ok(file.set_len(length + 1)?),
            Damage::Missing => Ok(std::fs::remove_file(&path)?),
            Damage::Swapped => Ok(std::fs::copy(self.file(&self.sound)?, &path).map(drop)?),
        }
    }

    /// Gets a blob, or a part of it; `None` if the body broke off.
    fn get(&self, bytes: &[u8], range: Option<&str>) -> Option<Response> {
        let client = RegistryClient::new(&self.server);
        let range = range.map(|range| ("Range", range));
        let headers: Vec<_> = range.into_iter().collect();
        let target = format!("/v2/web/blobs/{}", digest(bytes));
        client.call("GET", &target, &headers, &[]).ok()
    }

    /// The damaged blob is not served as good, and the sound one is.
    fn check(&self) -> Result<()> {
        if let Some(answer) = self.get(&self.damaged, None) {
            ensure!(
                answer.status >= 500,
                "a damaged blob is served with {} and {} bytes",
                answer.status,
                answer.body.len()
            );
            ensure!(answer.json()?.pointer("/errors/0/code").is_some(), "{}", answer.text());
        }
        let sound = self.get(&self.sound, None).context("the sound blob breaks off")?;
        ensure!(sound.expect(200)?.body == self.sound, "the sound blob is other bytes");
        Ok(())
    }
}

#[test]
fn damage_that_the_header_shows_is_never_served_and_a_push_mends_it() -> Result<()> {
    for damage in Damage::VISIBLE {
        let patient = Patient::new(damage, &[])?;
        patient.check().with_context(|| format!("{damage:?}"))?;
        let log = patient.server.log();
        ensure!(log.contains("ERROR"), "{damage:?} is not reported: {log}");
        RegistryClient::new(&patient.server).push_blob("web", &patient.damaged)?;
        let mended = patient.get(&patient.damaged, None).context("it breaks off")?;
        ensure!(mended.expect(200)?.body == patient.damaged, "{damage:?} is not mended");
    }
    Ok(())
}

#[test]
fn with_verified_reads_no_damage_is_served_as_good_and_all_of_it_is_reported() -> Result<()> {
    for damage in Damage::VISIBLE.into_iter().chain(Damage::HIDDEN) {
        let patient = Patient::new(damage, &["--verify-reads"])?;
        patient.check().with_context(|| format!("{damage:?}"))?;
        // A part that touches the damage is not good either.
        let place = match damage {
            Damage::Begin => 0,
            Damage::Middle => BYTES / 2,
            _ => BYTES - 1,
        };
        let (start, end) = (place.saturating_sub(10), (place + 10).min(BYTES - 1));
        if let Some(part) = patient.get(&patient.damaged, Some(&format!("bytes={start}-{end}"))) {
            let is_good = part.status == 206 && part.body == patient.damaged[start..=end];
            ensure!(
                is_good || part.status >= 500,
                "{damage:?}: a part is served with {}",
                part.status
            );
        }
        let log = patient.server.log();
        let name = digest(&patient.damaged);
        let is_reported = log.lines().any(|line| line.contains("ERROR") && line.contains(&name));
        ensure!(is_reported, "{damage:?} is not reported: {log}");
        is_mended_by_who_asks_first(&patient.server, &patient.damaged).with_context(|| format!("{damage:?}"))?;
    }
    Ok(())
}

/// A client that asks whether a damaged blob is there is told that it is not, sends it, and it is whole again.
fn is_mended_by_who_asks_first(server: &Server, bytes: &[u8]) -> Result<()> {
    let client = RegistryClient::new(server);
    let target = format!("/v2/web/blobs/{}", digest(bytes));
    client.call("HEAD", &target, &[], &[])?.expect(404)?;
    // Nor is it mounted from where it is damaged.
    let mount = format!("/v2/other/blobs/uploads/?mount={}&from=web", digest(bytes));
    client.call("POST", &mount, &[], &[])?.expect(202)?;
    client.push_blob("web", bytes)?;
    client.call("HEAD", &target, &[], &[])?.expect(200)?;
    let mended = client.call("GET", &target, &[], &[])?;
    ensure!(mended.expect(200)?.body == bytes, "it is not mended");
    client.call("POST", &mount, &[], &[])?.expect(201)?;
    Ok(())
}

#[test]
fn a_damaged_small_blob_in_the_database_is_not_served_and_a_push_mends_it() -> Result<()> {
    for is_verified in [true, false] {
        let arguments = if is_verified { &["--verify-reads"][..] } else { &[] };
        let mut server = Server::start_with(ServerOptions {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            ..ServerOptions::default()
        })?;
        server.create_repository("web")?;
        server.create_repository("other")?;
        let client = RegistryClient::new(&server);
        let bytes = noise(&format!("small {is_verified}"), 3_000);
        client.push_blob("web", &bytes)?;
        server.kill9()?;
        let name = digest(&bytes);
        let damage = format!("UPDATE blob SET content = zeroblob(2999) WHERE digest = '{name}'; SELECT changes() AS n");
        let changed = query(&server.data_folder().join("hythe.db"), &damage)?;
        ensure!(changed[0]["n"] == 1, "no row is damaged: {changed:?}");
        server.restart()?;
        let client = RegistryClient::new(&server);
        let target = format!("/v2/web/blobs/{name}");
        if is_verified {
            let refused = client.call("GET", &target, &[], &[])?;
            ensure!(refused.status >= 500, "it is served with {}", refused.status);
            let log = server.log();
            let is_reported = log.lines().any(|line| line.contains("ERROR") && line.contains(&name));
            ensure!(is_reported, "it is not reported: {log}");
            is_mended_by_who_asks_first(&server, &bytes)?;
        } else {
            // Read from the database, and so kept in memory, before it is mended through another repository.
            client.call("GET", &target, &[], &[]).ok();
            client.push_blob("other", &bytes)?;
            let mended = client.call("GET", &target, &[], &[])?;
            ensure!(mended.expect(200)?.body == bytes, "it is not mended");
        }
    }
    Ok(())
}
