// SPDX-License-Identifier: Apache-2.0
//! Installs what the tests need and the machine does not have.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e::{client, image, postgres};

use crate::command::{TOOLS, cargo, in_workspace, show, works};
use crate::{debian, say};

/// What must be there: how it is recognised, and Debian's package for it.
struct Need {
    what: &'static str,
    package: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "docker (client)",
        package: "docker.io",
        is_there: || has("docker"),
    },
    Need {
        what: "dockerd (engine)",
        package: "docker.io",
        is_there: || has("dockerd"),
    },
    Need {
        what: "containerd",
        package: "containerd",
        is_there: || has("containerd"),
    },
    Need {
        what: "runc",
        package: "runc",
        is_there: || has("runc"),
    },
    Need {
        what: "iptables",
        package: "iptables",
        is_there: || has("iptables"),
    },
    Need {
        what: "podman",
        package: "podman",
        is_there: || has("podman"),
    },
    Need {
        what: "buildah",
        package: "buildah",
        is_there: || has("buildah"),
    },
    Need {
        what: "skopeo",
        package: "skopeo",
        is_there: || has("skopeo"),
    },
    Need {
        what: "umoci",
        package: "umoci",
        is_there: || has("umoci"),
    },
    Need {
        what: "curl",
        package: "curl",
        is_there: || has("curl"),
    },
    Need {
        what: "busybox (static)",
        package: "busybox-static",
        is_there: || image::static_busybox().is_some(),
    },
    Need {
        what: "PostgreSQL (server)",
        package: "postgresql",
        is_there: || postgres::programs().is_some(),
    },
    Need {
        what: "psql",
        package: "postgresql-client",
        is_there: || has("psql"),
    },
    Need {
        what: "btrfs (power cuts)",
        package: "btrfs-progs",
        is_there: || has("mkfs.btrfs"),
    },
    Need {
        what: "ext4 (disks of the tests)",
        package: "e2fsprogs",
        is_there: || has("mkfs.ext4"),
    },
    Need {
        what: "xfs_io (disks that fail)",
        package: "xfsprogs",
        is_there: || has("xfs_io"),
    },
    Need {
        what: "sqlite3 (what a crash leaves over)",
        package: "sqlite3",
        is_there: || has("sqlite3"),
    },
    Need {
        what: "docker-registry (benchmarks)",
        package: "docker-registry",
        is_there: || has("docker-registry"),
    },
];

/// What the benchmarks measure beside ours, and nothing else needs.
const PEERS: &[Need] = &[
    Need {
        what: "docker-registry",
        package: "docker-registry",
        is_there: || has("docker-registry"),
    },
    Need {
        what: "nginx",
        package: "nginx-light",
        is_there: || has("nginx"),
    },
    Need {
        what: "btrfs (power cuts)",
        package: "btrfs-progs",
        is_there: || has("mkfs.btrfs"),
    },
    Need {
        what: "ext4 (power cuts)",
        package: "e2fsprogs",
        is_there: || has("mkfs.ext4"),
    },
];

/// Installs the servers that are measured beside ours, where that can be done; says which are missing.
pub fn peers() -> Result<()> {
    install(PEERS)?;
    for need in PEERS.iter().filter(|need| !(need.is_there)()) {
        say::loudly(&format!(
            "NOT MEASURED: {} is not installed ({})",
            need.what, need.package
        ));
    }
    Ok(())
}

/// Terraform is in no Debian release: it has to be there.
const TERRAFORM: &str = "terraform (https://developer.hashicorp.com/terraform/install)";

/// Installs what is missing and can be installed here; answers what is still missing.
pub fn everything() -> Result<Vec<String>> {
    install(NEEDS)?;
    let mut still: Vec<String> = NEEDS
        .iter()
        .filter(|need| !(need.is_there)())
        .map(|need| format!("{} ({})", need.what, need.package))
        .collect();
    if !has("terraform") {
        still.push(TERRAFORM.to_owned());
    }
    debian::later_clients()?;
    tool("nextest", "cargo-nextest", "^0.9")?;
    tool("deny", "cargo-deny", "^0.20")?;
    Ok(still)
}

fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    say::line(&format!("    missing: {}", names.join(", ")));
    if client::is_root() && has("apt-get") {
        return debian(&missing);
    }
    say::line("    they can be installed by root on Debian only; elsewhere please install them by hand");
    Ok(())
}

/// Makes `cargo NAME` work, by installing it into our own folder if need be.
pub fn tool(name: &str, krate: &str, version: &str) -> Result<()> {
    if works(&mut cargo(&[name, "--version"])) {
        return Ok(());
    }
    say::line(&format!("    building {krate} (once; it stays in {TOOLS})"));
    show(&mut cargo(&[
        "install",
        "--quiet",
        "--locked",
        "--root",
        TOOLS,
        "--version",
        version,
        krate,
    ]))
}

fn debian(missing: &[&Need]) -> Result<()> {
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let _no_services = NoServices::set()?;
    let apt = |arguments: &[&str]| {
        let mut command: Command = in_workspace("apt-get", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        show(&mut command)
    };
    apt(&["update", "-qq"])?;
    let install = [
        "install",
        "-y",
        "-qq",
        "-o",
        "Dpkg::Use-Pty=0",
        "--no-install-recommends",
    ];
    apt(&[&install, packages.as_slice()].concat())
}

fn has(program: &str) -> bool {
    client::path_of(program).is_some()
}

/// Keeps packages from starting their services while they are installed: the tests start what they need.
struct NoServices;

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn set() -> Result<Option<Self>> {
        if Path::new(Self::POLICY).exists() {
            return Ok(None);
        }
        let file = std::fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o755)
            .open(Self::POLICY);
        let mut file = file.context("cannot keep packages from starting services")?;
        std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n")?;
        Ok(Some(Self))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Self::POLICY);
    }
}

/// Fails if something is missing that the tests cannot do without.
pub fn insist(missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "not installed, so not everything can be tested: {}. Install it, or say --allow-missing-clients",
        missing.join("; ")
    );
}
