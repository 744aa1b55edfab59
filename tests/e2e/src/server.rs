// SPDX-License-Identifier: Apache-2.0
//! A `hythe serve` of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Response};
use crate::process::{Daemon, wait_until};
use crate::{ReservedPort, binary};

/// How long a start may take. Far more than it should: the start time itself is measured by `cargo xtask bench`.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Longest wait until a signal has stopped every thread.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Longest wait until a line is in the log.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Further arguments of `hythe serve`.
    pub arguments: Vec<String>,
    /// The data folder; a temporary one otherwise.
    pub data_folder: Option<PathBuf>,
    /// The program; `hythe` of this build profile otherwise.
    pub program: Option<PathBuf>,
    /// Who the administrator is, for a further node of a deployment: only the first node writes that down.
    pub credentials: Option<Credentials>,
    /// Whether it stays out of this process's group, so that Ctrl-C in the terminal reaches only us.
    pub has_own_group: bool,
    /// Variables of its environment, such as `HYTHE_TEST_FAIL_POINTS`.
    pub environment: Vec<(String, String)>,
}

/// The name of the log in the server's folder.
const LOG: &str = "server.log";

/// What the server writes for its first administrator.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Where the control plane is, as a URL.
    pub endpoint: String,
    /// Where the registry is, as `host:port`.
    pub registry: String,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The development CA, if the server made one.
    pub ca_bundle: Option<PathBuf>,
}

impl Credentials {
    /// Reads a credentials file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("no credentials in `{}`", path.display()))?;
        let table: toml::Table = text.parse().context("the credentials file is not TOML")?;
        let optional = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let required = |name: &str| optional(name).with_context(|| format!("the credentials file has no `{name}`"));
        Ok(Self {
            endpoint: required("endpoint")?,
            registry: required("registry")?,
            access_key_id: required("access_key_id")?,
            secret_access_key: required("secret_access_key")?,
            ca_bundle: optional("ca_bundle").map(PathBuf::from),
        })
    }

    /// The control plane as `host:port`.
    #[must_use]
    pub fn control_address(&self) -> &str {
        self.endpoint
            .split_once("://")
            .map_or(self.endpoint.as_str(), |(_, rest)| rest.trim_end_matches('/'))
    }

    /// `Basic` credentials of the administrator.
    #[must_use]
    pub fn basic(&self) -> String {
        http::basic(&self.access_key_id, &self.secret_access_key)
    }

    /// The environment that points the CLI, the credential helper and the provider here.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("HYTHE_ENDPOINT", self.endpoint.clone()),
            ("HYTHE_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("HYTHE_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
        ];
        if let Some(bundle) = &self.ca_bundle {
            variables.push(("HYTHE_CA_BUNDLE", bundle.display().to_string()));
        }
        variables
    }
}

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Server {
    // Order matters: the process stops before its folder goes.
    daemon: Daemon,
    credentials: Credentials,
    options: ServerOptions,
    data_folder: PathBuf,
    folder: TempDir,
    /// Of registry and control plane, so that they are free when it is started again.
    ports: [ReservedPort; 2],
}

impl Server {
    /// Starts a server on free loopback ports.
    pub fn start() -> Result<Self> {
        Self::start_with(ServerOptions::default())
    }

    /// Starts a server on free loopback ports with further options.
    pub fn start_with(options: ServerOptions) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hythe-e2e-").tempdir()?;
        let data_folder = options
            .data_folder
            .clone()
            .unwrap_or_else(|| folder.path().join("hythe-data"));
        let ports = [ReservedPort::any()?, ReservedPort::any()?];
        let mut daemon = launch(&options, &data_folder, folder.path(), &ports)?;
        let log = folder.path().join(LOG);
        let mut urls = None;
        daemon.wait_until("the server says that it is ready", START_LIMIT, || {
            urls = std::fs::read_to_string(&log).ok().and_then(|text| urls_in_log(&text));
            urls.is_some()
        })?;
        let (registry, control) = urls.context("no addresses")?;
        let known = match &options.credentials {
            Some(known) => known.clone(),
            None => Credentials::read(&data_folder.join("credentials"))?,
        };
        let registry = registry
            .split_once("://")
            .map_or(registry.clone(), |(_, host)| host.to_owned());
        let credentials = Credentials {
            endpoint: control,
            registry,
            ..known
        };
        daemon.wait_until("the server is ready", START_LIMIT, || is_ready(&credentials))?;
        Ok(Self {
            daemon,
            credentials,
            options,
            data_folder,
            folder,
            ports,
        })
    }

    /// Where and as whom to talk to it.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The registry as `host:port`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.credentials.registry
    }

    /// The data folder.
    #[must_use]
    pub fn data_folder(&self) -> &Path {
        &self.data_folder
    }

    /// A folder for a test's own files; it goes with the server.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Everything it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Leaves it running after this process has ended; answers its folder, which stays as well.
    #[must_use]
    pub fn keep_running(self) -> PathBuf {
        let Self { daemon, folder, .. } = self;
        std::mem::forget(daemon);
        folder.keep()
    }

    /// Sends SIGTERM without waiting.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.daemon.signal(Signal::TERM)
    }

    /// Stops it and answers how it ended; `None` if it had to be killed.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.daemon.stop()
    }

    /// Kills it as a power cut would.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon.kill9()
    }

    /// Does `work` while none of its threads runs: what they asked of the kernel has ended, and they ask nothing more.
    pub fn while_stopped<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.daemon.signal(Signal::STOP)?;
        let outcome = wait_until("every thread is stopped", STOP_LIMIT, || {
            is_stopped(self.pid()).unwrap_or_default()
        })
        .and_then(|()| work());
        self.daemon.signal(Signal::CONT)?;
        outcome
    }

    /// Starts it again on the same addresses and data.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.stop();
        self.daemon = launch(&self.options, &self.data_folder, self.folder.path(), &self.ports)?;
        let credentials = &self.credentials;
        self.daemon
            .wait_until("the server is ready again", START_LIMIT, || is_ready(credentials))
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.daemon.exit_status()
    }

    /// Sets a variable of its environment for the next [`Self::restart`].
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.options.environment.retain(|(known, _)| known != name);
        self.options.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> Result<Response> {
        http::request(self.credentials.control_address(), "GET", "/readyz", &[], &[])
    }

    /// Waits until the log holds `text`.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait_until(&format!("the server logs `{text}`"), LOG_LIMIT, || {
            self.log().contains(text)
        })
    }

    /// What a metric that counts whole things is now, the sum over its labels.
    ///
    /// # Errors
    /// If the server has no such metric.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let text = http::request(self.credentials.control_address(), "GET", "/metrics", &[], &[])?
            .expect(200)?
            .text();
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .collect();
        ensure!(!samples.is_empty(), "{name} is not in {text}");
        let values = samples.iter().filter_map(|line| line.rsplit(' ').next());
        let values = values.map(|value| value.parse::<u64>().with_context(|| format!("{name} is {value}")));
        values.sum()
    }

    /// Calls the REST API as the administrator.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let authorization = self.credentials.basic();
        let mut headers = vec![("Authorization", authorization.as_str())];
        let text = body.map(Value::to_string);
        if text.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        let body = text.unwrap_or_default();
        http::request(
            self.credentials.control_address(),
            method,
            path,
            &headers,
            body.as_bytes(),
        )
    }

    /// Creates an account, and answers the `Authorization` header of its administrator.
    pub fn create_account(&self, id: &str) -> Result<String> {
        let body = serde_json::json!({ "accountName": id, "accountId": id });
        self.api("POST", "/api/v1/accounts", Some(&body))?.expect(201)?;
        let path = format!("/api/v1/accounts/{id}/administrator-keys");
        let key = self.api("POST", &path, None)?.expect(201)?.json()?;
        let member = |name: &str| {
            key.get(name)
                .and_then(Value::as_str)
                .with_context(|| format!("no `{name}`"))
        };
        Ok(http::basic(member("accessKeyId")?, member("secretAccessKey")?))
    }

    /// Creates a repository with default settings.
    pub fn create_repository(&self, name: &str) -> Result<Value> {
        self.create_repository_with(&serde_json::json!({ "repositoryName": name }))
    }

    /// Creates a repository.
    pub fn create_repository_with(&self, body: &Value) -> Result<Value> {
        self.api("POST", "/api/v1/repositories", Some(body))?
            .expect(201)?
            .json()
    }

    /// Lets everybody pull from a repository, also without a login.
    pub fn open_to_everybody(&self, repository: &str) -> Result<()> {
        let statement = serde_json::json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": "*",
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"] } });
        let body = serde_json::json!({ "policyText": statement.to_string() });
        let path = format!("{}/policy", repository_path(repository));
        self.api("PUT", &path, Some(&body))?.expect(200)?;
        Ok(())
    }

    /// A repository as the server describes it, if it exists.
    pub fn repository(&self, name: &str) -> Result<Option<Value>> {
        let response = self.api("GET", &repository_path(name), None)?;
        if response.status == 404 {
            return Ok(None);
        }
        Ok(Some(response.expect(200)?.json()?))
    }

    /// The names of all repositories that begin with `prefix`.
    pub fn repository_names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut next = String::new();
        loop {
            let prefix = http::percent_encode(prefix);
            let path = format!("/api/v1/repositories?prefix={prefix}&maxResults=1000{next}");
            let page = self.api("GET", &path, None)?.expect(200)?.json()?;
            let repositories = page
                .get("repositories")
                .and_then(Value::as_array)
                .context("no repositories")?;
            names.extend(
                repositories
                    .iter()
                    .filter_map(|it| it.get("repositoryName")?.as_str().map(str::to_owned)),
            );
            match page.get("nextToken").and_then(Value::as_str) {
                Some(token) => next = format!("&nextToken={}", http::percent_encode(token)),
                None => return Ok(names),
            }
        }
    }

    /// Makes an authorization token and answers its password (user `AWS`) and its id.
    pub fn authorization_token(&self, body: &Value) -> Result<(String, String)> {
        let token = self
            .api("POST", "/api/v1/authorization-tokens", Some(body))?
            .expect(201)?
            .json()?;
        let member = |name: &str| token.get(name).and_then(Value::as_str).map(str::to_owned);
        let password = member("password").context("the token has no password")?;
        Ok((password, member("tokenId").context("the token has no id")?))
    }

    /// Runs the command line, pointed at this server.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let program = match &self.options.program {
            Some(program) => program.clone(),
            None => binary::hythe()?,
        };
        let mut command = Command::new(program);
        clean_environment(&mut command);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(self.credentials.environment());
        Ok(command)
    }

    /// A figure from `/proc/PID/status`, such as `VmRSS` or `VmHWM`, in KiB.
    pub fn memory_kib(&self, field: &str) -> Result<u64> {
        memory_kib(self.pid(), field)
    }

    /// Begins a new measurement of `VmHWM`.
    pub fn reset_peak_memory(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")?)
    }
}

/// The REST path of a repository.
#[must_use]
pub fn repository_path(name: &str) -> String {
    format!("/api/v1/repositories/{}", http::percent_encode(name))
}

/// Whether every thread of a process is stopped by a signal, as `/proc/<pid>/task/<tid>/stat` says.
fn is_stopped(pid: u32) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        // The name, in parentheses, may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A figure from `/proc/PID/status` in KiB.
pub fn memory_kib(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.split(':').next() == Some(field))
        .context("no such figure")?;
    let figure = line.split_whitespace().nth(1).context("no figure")?;
    Ok(figure.parse()?)
}

/// Takes away what would point a Hythe program elsewhere.
pub fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HYTHE_") {
            command.env_remove(name);
        }
    }
}

fn launch(
    options: &ServerOptions,
    data_folder: &Path,
    folder: &Path,
    [registry, control]: &[ReservedPort; 2],
) -> Result<Daemon> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => binary::hythe()?,
    };
    ensure!(program.is_file(), "`{}` is not built", program.display());
    let mut command = Command::new(program);
    clean_environment(&mut command);
    command.arg("serve").arg("--data-dir").arg(data_folder);
    command.args([
        "--registry-address",
        &registry.address(),
        "--control-address",
        &control.address(),
        "--log-format",
        "json",
    ]);
    command.args(&options.arguments).current_dir(folder);
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    if options.has_own_group {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    Daemon::start("hythe serve", &mut command, &folder.join(LOG))
}

/// The URLs of registry and control plane, from the last line that says `ready`.
fn urls_in_log(log: &str) -> Option<(String, String)> {
    log.lines().rev().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields").unwrap_or(&line);
        let field = |name: &str| Some(fields.get(name)?.as_str()?.trim_end_matches('/').to_owned());
        (field("message")? == "ready").then_some(())?;
        Some((field("registry.url")?, field("control.url")?))
    })
}

fn is_ready(credentials: &Credentials) -> bool {
    // A listener with TLS answers plain HTTP with garbage or not at all; that it listens is enough then.
    if credentials.endpoint.starts_with("https:") {
        return std::net::TcpStream::connect(credentials.control_address()).is_ok();
    }
    http::request(credentials.control_address(), "GET", "/readyz", &[], &[]).is_ok_and(|it| it.status == 200)
}
