// SPDX-License-Identifier: Apache-2.0
//! nginx with plain files of the same sizes under the same paths: what a GET can cost at least.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::client;
use e2e::process::Daemon;

use super::{Kind, Running, Subject, folder, free_address, wait_until_ready};
use crate::load::endpoint::Endpoint;
use crate::load::tls::Identity;
use crate::process::Tree;

/// Starts one in an empty folder.
pub fn start() -> Result<Subject> {
    let folder = folder()?;
    let address = free_address()?;
    let endpoint = Endpoint::plain(&address)?;
    std::fs::create_dir_all(folder.path().join("v2"))?;
    std::fs::write(folder.path().join("v2/ready"), "")?;
    let (daemon, ready_after) = launch(folder.path(), &address, &endpoint, "")?;
    subject(daemon, folder, endpoint, ready_after)
}

/// Starts it again on the same files, with TLS.
pub fn into_tls(subject_: Subject, identity: &Identity) -> Result<Subject> {
    let Running::Daemon {
        daemon,
        folder: Some(folder),
    } = subject_.running
    else {
        anyhow::bail!("not an nginx of ours")
    };
    drop(daemon);
    let address = free_address()?;
    let endpoint = Endpoint::plain(&address)?.over(identity.client.clone());
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3;",
        identity.certificate.display(),
        identity.key.display()
    );
    let (daemon, ready_after) = launch(folder.path(), &address, &endpoint, &tls)?;
    subject(daemon, folder, endpoint, ready_after)
}

fn subject(daemon: Daemon, folder: tempfile::TempDir, endpoint: Endpoint, ready_after: Duration) -> Result<Subject> {
    Ok(Subject {
        kind: Kind::Nginx,
        tree: Tree::of(&[daemon.pid()])?,
        endpoint,
        ready_after,
        running: Running::Daemon {
            daemon,
            folder: Some(folder),
        },
    })
}

fn launch(folder: &Path, address: &str, endpoint: &Endpoint, tls: &str) -> Result<(Daemon, Duration)> {
    // Workers of a root process would else be another user, who may not look into the folder.
    let user = if client::is_root() { "user root;" } else { "" };
    let listen = if tls.is_empty() { "" } else { " ssl" };
    let root = folder.display();
    let text = format!(
        "daemon off; {user} worker_processes 2; pid {root}/pid; error_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n  \
         open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s; default_type application/octet-stream;\n  \
         client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3; \
         uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;\n  \
         server {{ listen {address}{listen}; {tls} root {root}; }}\n}}\n"
    );
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text)?;
    let program = client::path_of("nginx").context("nginx is not installed")?;
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&config)
        .args(["-e", "stderr"]);
    let started = Instant::now();
    let mut daemon = Daemon::start("nginx", &mut command, &folder.join("log"))?;
    wait_until_ready(&mut daemon, endpoint, "/v2/ready")?;
    Ok((daemon, started.elapsed()))
}
