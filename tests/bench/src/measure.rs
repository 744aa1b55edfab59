// SPDX-License-Identifier: Apache-2.0
//! What is measured.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::registry::{OCI_MANIFEST, config_of, manifest};
use e2e::server::memory_kib;
use e2e::{Server, Terraform};

use crate::load::{Blob, pull, push};
use crate::report::Report;
use crate::subject::{REPOSITORY, Subject};

const MEBIBYTE: usize = 1024 * 1024;

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;

/// How many manifests are read on each connection.
const MANIFEST_READS: usize = 1000;

/// Takes every figure of one started server.
pub fn everything(subject: &Subject, layer_mib: usize, report: &mut Report) -> Result<()> {
    let kind = subject.kind;
    report.add(kind, "start to ready", "ms", subject.ready_after.as_secs_f64() * 1000.0);
    // What a server does right after its start is not idling.
    sleep(Duration::from_secs(1));
    report.add(
        kind,
        "memory, idle",
        "MiB",
        mebibytes(memory_kib(subject.pid(), "VmRSS")?),
    );

    let layer = Blob::new(layer_mib * MEBIBYTE);
    let size = format!("{layer_mib} MiB layer");
    for (what, work) in [("push", push as fn(_, &mut _, &Blob) -> Result<()>), ("pull", pull)] {
        let (took, cpu) = timed(subject, || {
            let mut connection = subject.client.connect()?;
            work(&subject.client, &mut connection, &layer)
        })?;
        let bytes = as_f64(layer.bytes);
        report.add(kind, &format!("{what}, {size}"), "MB/s", bytes / 1e6 / took);
        report.add(
            kind,
            &format!("{what}, {size}, server CPU"),
            "s/GB",
            cpu / (bytes / 1e9),
        );
    }
    for (bytes, name, connections, pushes) in [
        (MEBIBYTE, "1 MiB", 1, 32),
        (MEBIBYTE, "1 MiB", 8, 16),
        (1024, "1 KiB", 1, 200),
        (1024, "1 KiB", 8, 100),
    ] {
        let blobs: Vec<Vec<Blob>> = (0..connections)
            .map(|_| (0..pushes).map(|_| Blob::new(bytes)).collect())
            .collect();
        for (what, work) in [("push", push as fn(_, &mut _, &Blob) -> Result<()>), ("pull", pull)] {
            let (took, cpu) = timed(subject, || {
                side_by_side(&blobs, |blobs| {
                    let mut connection = subject.client.connect()?;
                    blobs
                        .iter()
                        .try_for_each(|blob| work(&subject.client, &mut connection, blob))
                })
            })?;
            let count = as_f64(connections * pushes);
            let row = format!("{what}, {name}, {connections} at once");
            report.add(kind, &row, "1/s", count / took);
            report.add(kind, &format!("{row}, server CPU"), "ms each", cpu / count * 1000.0);
        }
    }
    manifests(subject, report)?;
    report.add(
        kind,
        "memory, peak",
        "MiB",
        mebibytes(memory_kib(subject.pid(), "VmHWM")?),
    );
    Ok(())
}

/// Reads one manifest by tag, over and over.
fn manifests(subject: &Subject, report: &mut Report) -> Result<()> {
    let client = &subject.client;
    let layer = b"a layer";
    let config = client.push_blob(REPOSITORY, config_of(layer).as_bytes())?;
    let bytes = manifest(
        &config,
        config_of(layer).len(),
        &client.push_blob(REPOSITORY, layer)?,
        layer.len(),
    );
    client
        .put_manifest(REPOSITORY, "latest", OCI_MANIFEST, &bytes)?
        .expect(201)?;
    let target = format!("/v2/{REPOSITORY}/manifests/latest");
    for connections in [1, 8] {
        let (took, cpu) = timed(subject, || {
            side_by_side(&vec![(); connections], |()| {
                let mut connection = client.connect()?;
                for _ in 0..MANIFEST_READS {
                    connection
                        .send("GET", &target, &client.headers(&[("Accept", OCI_MANIFEST)]), &[])?
                        .expect(200)?;
                }
                Ok(())
            })
        })?;
        let count = as_f64(connections * MANIFEST_READS);
        let row = format!("manifest by tag, {connections} at once");
        report.add(subject.kind, &row, "1/s", count / took);
        report.add(
            subject.kind,
            &format!("{row}, server CPU"),
            "ms each",
            cpu / count * 1000.0,
        );
    }
    Ok(())
}

/// Seconds of `terraform plan` of one repository that exists; `None` without Terraform.
pub fn terraform_plan(rounds: usize) -> Result<Option<Vec<f64>>> {
    let server = Server::start()?;
    let Some(terraform) = Terraform::new(server.credentials())? else {
        return Ok(None);
    };
    terraform.configure("resource \"hythe_repository\" \"r\" { name = \"planned\" }")?;
    terraform.apply_and_settle()?;
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        let finished = terraform.run(&["plan", "-no-color", "-detailed-exitcode"])?.ok()?;
        seconds.push(finished.took.as_secs_f64());
    }
    terraform.destroy()?;
    Ok(Some(seconds))
}

/// Wall-clock and server CPU seconds of some work.
fn timed(subject: &Subject, work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let before = cpu_seconds(subject.pid())?;
    let started = Instant::now();
    work()?;
    let took = started.elapsed().as_secs_f64();
    Ok((took, cpu_seconds(subject.pid())? - before))
}

fn side_by_side<T: Sync>(shares: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    scope(|threads| {
        let running: Vec<_> = shares.iter().map(|share| threads.spawn(move || work(share))).collect();
        for thread in running {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces; what follows its bracket does not. Fields 14 and 15 of proc(5) are then 11 and 12.
    let (_, fields) = stat.rsplit_once(')').context("not a stat line")?;
    let mut ticks = 0.0;
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<f64>()?;
    }
    Ok(ticks / TICKS_PER_SECOND)
}

#[allow(clippy::cast_precision_loss, reason = "sizes and counts here are far below 2^53")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^53")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
