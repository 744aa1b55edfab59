// SPDX-License-Identifier: Apache-2.0
//! The one typed configuration: defaults, under a file, under the environment, under flags.

mod collection;
mod lifecycle;
mod outgoing;
mod rates;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use hythe_model::{AccountId, Region};
use serde::{Deserialize, Serialize};

use crate::ServeArgs;
#[cfg(debug_assertions)]
use crate::test_hooks;

pub use self::collection::Collection;
pub use self::lifecycle::Lifecycle;
pub use self::outgoing::OutgoingConfig;
pub use self::rates::Rates;

/// Everything that `hythe serve` can be told.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder for the embedded database, blobs, keys and credentials.
    pub data_dir: DataDirPath,
    /// Which planes to serve.
    pub plane: Plane,
    /// Name of the region that this deployment is.
    pub region: Region,
    /// Account of requests that name none.
    pub default_account: AccountId,
    /// The registry listener.
    pub registry: RegistryListener,
    /// The control listener.
    pub control: ControlListener,
    /// An own listener for health and metrics.
    pub health: HealthListener,
    /// TLS of the registry and the control listener.
    pub tls: Tls,
    /// The metadata database.
    pub database: Database,
    /// Where blobs are.
    pub blobs: Blobs,
    /// Taking away blobs that nobody needs.
    pub collection: Collection,
    /// Keys.
    pub keys: Keys,
    /// Issuers of tokens that accounts trust.
    pub identity_providers: IdentityProviders,
    /// Connections to other registries.
    pub outgoing: OutgoingConfig,
    /// The log.
    pub log: Log,
    /// The audit log.
    pub audit: Audit,
    /// Lifecycle policies of repositories.
    pub lifecycle: Lifecycle,
    /// Checks of everything that is stored.
    pub scrub: Scrub,
    /// Bounds.
    pub limits: Limits,
    /// How often somebody may fail to log in, and how often somebody may ask.
    pub rates: Rates,
    /// Make another access key for the administrator at this start. A flag only: in a file it would make one at each start.
    #[serde(skip)]
    pub new_administrator_key: bool,
}

/// `hythe-data` in the working folder unless said otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct DataDirPath(pub PathBuf);

impl Default for DataDirPath {
    fn default() -> Self {
        Self("hythe-data".into())
    }
}

/// Which planes a process serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// Both.
    #[default]
    All,
    /// `/v2/` and `/token` only; the control listener has health and metrics.
    Registry,
    /// `/api/v1/` only.
    Control,
}

/// Settings of the registry listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryListener {
    /// Where to listen.
    pub address: SocketAddr,
    /// Base URL as clients see it.
    pub public_url: Option<String>,
    /// Serve each account at `<account>.<domain>`.
    pub base_domain: Option<String>,
    /// Create the repository of a first push also if no creation template is for it; ECR does not.
    pub create_on_push: bool,
    /// Host names that belong to an account.
    pub hosts: BTreeMap<String, AccountId>,
}

impl Default for RegistryListener {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 5000).into(),
            public_url: None,
            base_domain: None,
            create_on_push: false,
            hosts: BTreeMap::new(),
        }
    }
}

/// Settings of the control listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlListener {
    /// Where to listen.
    pub address: SocketAddr,
    /// Base URL as clients see it.
    pub public_url: Option<String>,
}

impl Default for ControlListener {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 8080).into(),
            public_url: None,
        }
    }
}

/// Settings of the health listener.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthListener {
    /// Where to listen; on the control listener if absent.
    pub address: Option<SocketAddr>,
}

/// Where the certificate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain HTTP; on loopback only, unless `allow_plain_http`.
    #[default]
    Off,
    /// From files; read again on SIGHUP.
    Files,
    /// From a CA that is made in the data folder. For development only.
    Development,
}

/// TLS.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Where the certificate comes from.
    pub mode: TlsMode,
    /// Certificate chain (PEM) for mode `files`.
    pub certificate: Option<PathBuf>,
    /// Private key (PEM) for mode `files`.
    pub key: Option<PathBuf>,
    /// Further names in the certificate of mode `development`.
    pub names: Vec<String>,
    /// Speak plain HTTP on addresses that other machines can reach.
    pub allow_plain_http: bool,
}

/// The metadata database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite`, or a URL of PostgreSQL.
    pub url: DatabaseUrl,
    /// Most connections to PostgreSQL.
    pub max_connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite,
            max_connections: 16,
        }
    }
}

/// Which database. Its `Debug`, `Display` and serialised form hide the password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatabaseUrl {
    /// The embedded database in the data folder.
    #[default]
    Sqlite,
    /// A PostgreSQL server.
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "sqlite" {
            Ok(Self::Sqlite)
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Self::Postgres(text.into()))
        } else {
            Err("it must be `sqlite` or begin with `postgres://`".into())
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DatabaseUrl> for String {
    fn from(url: DatabaseUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => formatter.write_str("sqlite"),
            Self::Postgres(url) => match (url.split_once("://"), url.rsplit_once('@')) {
                (Some((scheme, rest)), Some((_, host))) => {
                    let user = rest.split([':', '@']).next().unwrap_or_default();
                    write!(formatter, "{scheme}://{user}:…@{host}")
                }
                _ => formatter.write_str(url),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Where blobs are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// Folder; the data folder's `blobs` if absent.
    pub path: Option<PathBuf>,
    /// Folder of the blobs that only archived images need, on another disk for instance; `archive` in the folder above if absent.
    pub archive_path: Option<PathBuf>,
    /// Compare the bytes of a blob with its digest while it is read.
    pub verify_reads: bool,
    /// Seconds for which a blob that was found whole counts as whole when parts of it are read; 0 checks each time.
    pub verified_for_seconds: u64,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            path: None,
            archive_path: None,
            verify_reads: false,
            verified_for_seconds: 3600,
        }
    }
}

/// Keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// File with the master key; the data folder's `keys/master.key` if absent.
    pub master_key_file: Option<PathBuf>,
    /// Days after which a new key signs tokens, without anybody being logged out; 0 leaves it to `hythe signing-key rotate`.
    pub rotate_signing_key_days: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            master_key_file: None,
            rotate_signing_key_days: 30,
        }
    }
}

/// Issuers of tokens that accounts trust.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityProviders {
    /// Fetch keys also from issuers on private networks. Where accounts belong to people who may not look around in the
    /// network of the server, say no.
    pub allow_private_networks: bool,
}

impl Default for IdentityProviders {
    fn default() -> Self {
        Self {
            allow_private_networks: true,
        }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Form.
    pub format: LogFormat,
    /// Level, or a list of levels by module.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".into(),
        }
    }
}

/// What happens to reads when too many records of them wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuditWhenFull {
    /// They are answered; a record says how many have none.
    #[default]
    Count,
    /// They get 503 with `Retry-After`.
    Refuse,
}

/// The audit log. Changes, and whatever is refused, are always recorded.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Record reads that are allowed, such as pulls.
    pub reads: bool,
    /// Most memory that records of reads take while they wait to be written, in MiB.
    pub max_waiting_mib: usize,
    /// What happens to reads when that is taken.
    pub when_full: AuditWhenFull,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            reads: true,
            max_waiting_mib: hythe_operations::DEFAULT_MAX_WAITING_BYTES / (1024 * 1024),
            when_full: AuditWhenFull::Count,
        }
    }
}

/// Checks of everything that is stored: how much they take from live traffic.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scrub {
    /// Most of the blob store that is read in a second, in MiB.
    pub max_mib_per_second: u64,
    /// Most rows and files that are looked at in a second.
    pub max_rows_per_second: u64,
    /// Seconds after which is looked again at what looks wrong, before it is called so.
    pub second_look_seconds: u64,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            max_mib_per_second: 64,
            max_rows_per_second: 10_000,
            second_look_seconds: 5,
        }
    }
}

/// Bounds of the server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most connections at once, on each listener; further ones get 503 with `Retry-After`.
    pub max_connections: usize,
    /// Most connections at once from one address, on each listener.
    pub max_connections_per_address: usize,
    /// Most registry requests that are answered at once; further ones get 503 with `Retry-After`.
    pub max_concurrent_requests: usize,
    /// Most uploads that send bytes at once; further ones wait, then get 429 with `Retry-After`.
    pub max_concurrent_uploads: usize,
    /// Most manifests that are received at once; further ones wait, then get 429 with `Retry-After`.
    pub max_concurrent_manifest_pushes: usize,
    /// Most memory for bodies on their way, in MiB; requests that need more wait, then get 503 with `Retry-After`.
    pub max_mib_in_flight: u64,
    /// Most of the four above that one account (without credentials: one address) may take, in percent.
    pub tenant_share_percent: u64,
    /// Seconds that a request waits for its turn before it is turned away.
    pub max_wait_seconds: u64,
    /// Most memory for small blobs, manifests and other rows of the embedded database that are kept for the next pull, in
    /// MiB; with 0 none are.
    pub max_cache_mib: usize,
    /// Most of the headers of a request, in KiB.
    pub max_header_kib: usize,
    /// The largest blob, in MiB.
    pub max_blob_mib: u64,
    /// Bytes per second that a client must send and take at least while it is waited for.
    pub min_bytes_per_second: u64,
    /// Seconds after which a body that sends less than that is given up.
    pub body_idle_seconds: u64,
    /// Seconds after which a client that reads less than that of what it asked for is given up.
    pub write_idle_seconds: u64,
    /// Hours after which an upload that receives nothing is given up.
    pub upload_expiry_hours: u64,
    /// Seconds that requests have to finish when the server stops.
    pub drain_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_address: 2048,
            max_concurrent_requests: 2048,
            max_concurrent_uploads: 256,
            max_concurrent_manifest_pushes: 32,
            max_mib_in_flight: 512,
            tenant_share_percent: 75,
            max_wait_seconds: 10,
            max_cache_mib: hythe_meta::DEFAULT_CACHE_BYTES / (1024 * 1024),
            max_header_kib: 64,
            max_blob_mib: 52_000,
            min_bytes_per_second: 256,
            body_idle_seconds: 60,
            write_idle_seconds: 60,
            upload_expiry_hours: 24,
            drain_seconds: 30,
        }
    }
}

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file `{}` is not valid: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: Box<toml::de::Error>,
    },
    /// A `HYTHE_` variable that nothing reads.
    #[error("unknown environment variable `{0}`: unset it, or see `hythe serve --help` for those that there are")]
    UnknownVariable(String),
    /// Settings that do not go together.
    #[error("{0}")]
    Contradiction(String),
}

/// Variables of the client side, which may be set where a server runs.
const CLIENT_VARIABLES: &[&str] = &[
    "HYTHE_ENDPOINT",
    "HYTHE_ACCESS_KEY_ID",
    "HYTHE_SECRET_ACCESS_KEY",
    "HYTHE_TOKEN",
    "HYTHE_PROFILE",
    "HYTHE_CA_BUNDLE",
    "HYTHE_CONFIG_FILE",
    "HYTHE_OUTPUT",
    "HYTHE_INSECURE",
    "HYTHE_CREDENTIALS_FILE",
    "HYTHE_REGISTRY",
    "HYTHE_WEB_IDENTITY_TOKEN_FILE",
    "HYTHE_ROLE_ARN",
    "HYTHE_ROLE_SESSION_NAME",
];

impl Config {
    /// The configuration of this process: [`Self::load`], after [`Self::check_variables`] on its environment.
    pub fn of_process(args: &ServeArgs) -> Result<Self, ConfigError> {
        Self::check_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        #[cfg(debug_assertions)]
        test_hooks::of_process()?;
        Self::load(args)
    }

    /// Lays `args` (flags and environment, which clap has merged) over the file they name, and checks the whole.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let mut config = match &args.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        config.lay_over(args);
        config.check()?;
        Ok(config)
    }

    /// Refuses variables that look like ours and that nothing reads: most likely a misspelt setting.
    pub fn check_variables(names: impl Iterator<Item = String>) -> Result<(), ConfigError> {
        let command = ServeArgs::augment_args(clap::Command::new("serve"));
        let known: Vec<String> = command
            .get_arguments()
            .filter_map(|arg| arg.get_env())
            .map(|name| name.to_string_lossy().into())
            .collect();
        for name in names.filter(|name| name.starts_with("HYTHE_") && !name.starts_with("HYTHE_TEST_")) {
            if !known.contains(&name) && !CLIENT_VARIABLES.contains(&name.as_str()) {
                return Err(ConfigError::UnknownVariable(name));
            }
        }
        Ok(())
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read {
            path: path.into(),
            cause,
        })?;
        toml::from_str(&text).map_err(|cause| ConfigError::File {
            path: path.into(),
            cause: Box::new(cause),
        })
    }

    fn lay_over(&mut self, args: &ServeArgs) {
        fn set<T: Clone>(target: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                *target = value.clone();
            }
        }
        fn set_some<T: Clone>(target: &mut Option<T>, value: Option<&T>) {
            if let Some(value) = value {
                *target = Some(value.clone());
            }
        }
        set(&mut self.data_dir.0, args.data_dir.as_ref());
        set(&mut self.plane, args.plane.as_ref());
        set(&mut self.region, args.region.as_ref());
        set(&mut self.default_account, args.default_account.as_ref());
        set(&mut self.registry.address, args.registry_address.as_ref());
        set_some(&mut self.registry.public_url, args.registry_public_url.as_ref());
        set_some(&mut self.registry.base_domain, args.registry_base_domain.as_ref());
        set(&mut self.registry.create_on_push, args.create_on_push.as_ref());
        set(&mut self.control.address, args.control_address.as_ref());
        set_some(&mut self.control.public_url, args.control_public_url.as_ref());
        set_some(&mut self.health.address, args.health_address.as_ref());
        set(&mut self.tls.mode, args.tls_mode.as_ref());
        set_some(&mut self.tls.certificate, args.tls_certificate.as_ref());
        set_some(&mut self.tls.key, args.tls_key.as_ref());
        set(&mut self.tls.names, args.tls_names.as_ref());
        set(&mut self.tls.allow_plain_http, args.allow_plain_http.as_ref());
        set(&mut self.database.url, args.database_url.as_ref());
        set(
            &mut self.database.max_connections,
            args.database_max_connections.as_ref(),
        );
        set_some(&mut self.blobs.path, args.blobs_path.as_ref());
        set_some(&mut self.blobs.archive_path, args.archive_path.as_ref());
        set_some(&mut self.keys.master_key_file, args.master_key_file.as_ref());
        set(
            &mut self.keys.rotate_signing_key_days,
            args.rotate_signing_key_days.as_ref(),
        );
        set(
            &mut self.identity_providers.allow_private_networks,
            args.allow_private_issuers.as_ref(),
        );
        set(&mut self.outgoing.allow, args.outgoing_allow.as_ref());
        set_some(&mut self.outgoing.ca_file, args.outgoing_ca_file.as_ref());
        set(&mut self.log.format, args.log_format.as_ref());
        set(&mut self.log.level, args.log_level.as_ref());
        self.new_administrator_key = args.new_administrator_key;
        set(&mut self.blobs.verify_reads, args.verify_reads.as_ref());
        set(&mut self.blobs.verified_for_seconds, args.verified_for_seconds.as_ref());
        set(&mut self.audit.reads, args.audit_reads.as_ref());
        set(&mut self.audit.max_waiting_mib, args.audit_max_waiting_mib.as_ref());
        set(&mut self.audit.when_full, args.audit_when_full.as_ref());
        set(
            &mut self.lifecycle.period_minutes,
            args.lifecycle_period_minutes.as_ref(),
        );
        set(&mut self.lifecycle.strict, args.strict_lifecycle_policies.as_ref());
        let (collection, set_collection) = (&mut self.collection, &args.collection);
        set(&mut collection.enabled, set_collection.enabled.as_ref());
        set(&mut collection.grace_minutes, set_collection.grace_minutes.as_ref());
        set(
            &mut collection.max_blobs_per_second,
            set_collection.max_blobs_per_second.as_ref(),
        );
        set(&mut collection.concurrency, set_collection.concurrency.as_ref());
        let scrub = &mut self.scrub;
        set(&mut scrub.max_mib_per_second, args.scrub_max_mib_per_second.as_ref());
        set(&mut scrub.max_rows_per_second, args.scrub_max_rows_per_second.as_ref());
        set(&mut scrub.second_look_seconds, args.scrub_second_look_seconds.as_ref());
        self.rates.limit_requests |= args.limit_request_rates;
        let (limits, set_limits) = (&mut self.limits, &args.limits);
        set(&mut limits.max_connections, set_limits.max_connections.as_ref());
        set(
            &mut limits.max_connections_per_address,
            set_limits.max_connections_per_address.as_ref(),
        );
        set(
            &mut limits.max_concurrent_requests,
            set_limits.max_concurrent_requests.as_ref(),
        );
        set(
            &mut limits.max_concurrent_uploads,
            set_limits.max_concurrent_uploads.as_ref(),
        );
        set(
            &mut limits.max_concurrent_manifest_pushes,
            set_limits.max_concurrent_manifest_pushes.as_ref(),
        );
        set(&mut limits.max_mib_in_flight, set_limits.max_mib_in_flight.as_ref());
        set(
            &mut limits.tenant_share_percent,
            set_limits.tenant_share_percent.as_ref(),
        );
        set(&mut limits.max_wait_seconds, set_limits.max_wait_seconds.as_ref());
        set(&mut limits.max_cache_mib, set_limits.max_cache_mib.as_ref());
        set(&mut limits.max_header_kib, set_limits.max_header_kib.as_ref());
        set(&mut limits.max_blob_mib, set_limits.max_blob_mib.as_ref());
        set(
            &mut limits.min_bytes_per_second,
            set_limits.min_bytes_per_second.as_ref(),
        );
        set(&mut limits.body_idle_seconds, set_limits.body_idle_seconds.as_ref());
        set(&mut limits.write_idle_seconds, set_limits.write_idle_seconds.as_ref());
        set(&mut limits.upload_expiry_hours, set_limits.upload_expiry_hours.as_ref());
        set(&mut limits.drain_seconds, set_limits.drain_seconds.as_ref());
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError::Contradiction(text));
        let has_files = self.tls.certificate.is_some() && self.tls.key.is_some();
        let has_any_file = self.tls.certificate.is_some() || self.tls.key.is_some();
        if self.tls.mode == TlsMode::Files && !has_files {
            return fail("`tls.mode` is `files`: set `tls.certificate` and `tls.key`".into());
        }
        if self.tls.mode != TlsMode::Files && has_any_file {
            return fail("`tls.certificate` and `tls.key` are for `tls.mode = \"files\"` only".into());
        }
        for (name, address) in [("registry", self.registry.address), ("control", self.control.address)] {
            if self.tls.mode == TlsMode::Off && !address.ip().is_loopback() && !self.tls.allow_plain_http {
                return fail(format!(
                    "the {name} listener at {address} can be reached by other machines: set `tls.mode`, or \
                     `tls.allow_plain_http` if something in front of it speaks TLS"
                ));
            }
        }
        for (name, url) in [
            ("registry", &self.registry.public_url),
            ("control", &self.control.public_url),
        ] {
            let Some(url) = url else { continue };
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' '])) {
                return fail(format!(
                    "`{name}.public_url` is `{url}`; it must be `http://` or `https://` with a host and nothing behind it"
                ));
            }
        }
        self.rates.check().or_else(fail)?;
        self.lifecycle.check().or_else(fail)?;
        self.outgoing.connections()?;
        let limits = &self.limits;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        // Name, value, least and most.
        let bounds = [
            ("limits.max_connections", count(limits.max_connections), 1, 1_000_000),
            (
                "limits.max_connections_per_address",
                count(limits.max_connections_per_address),
                1,
                1_000_000,
            ),
            (
                "limits.max_concurrent_requests",
                count(limits.max_concurrent_requests),
                1,
                1_000_000,
            ),
            (
                "limits.max_concurrent_uploads",
                count(limits.max_concurrent_uploads),
                1,
                1_000_000,
            ),
            (
                "limits.max_concurrent_manifest_pushes",
                count(limits.max_concurrent_manifest_pushes),
                1,
                1_000_000,
            ),
            // One manifest has to fit, with its parsed form.
            ("limits.max_mib_in_flight", limits.max_mib_in_flight, 16, 1_000_000),
            ("limits.tenant_share_percent", limits.tenant_share_percent, 1, 100),
            ("limits.max_wait_seconds", limits.max_wait_seconds, 0, 300),
            ("limits.max_cache_mib", count(limits.max_cache_mib), 0, 1_000_000),
            ("limits.max_header_kib", count(limits.max_header_kib), 8, 1024),
            // ECR, "Service quotas".
            ("limits.max_blob_mib", limits.max_blob_mib, 1, 52_000),
            ("limits.min_bytes_per_second", limits.min_bytes_per_second, 1, 1_000_000),
            ("limits.body_idle_seconds", limits.body_idle_seconds, 1, 1_000_000),
            ("limits.write_idle_seconds", limits.write_idle_seconds, 1, 1_000_000),
            ("scrub.max_mib_per_second", self.scrub.max_mib_per_second, 1, 1_000_000),
            (
                "scrub.max_rows_per_second",
                self.scrub.max_rows_per_second,
                1,
                10_000_000,
            ),
            ("scrub.second_look_seconds", self.scrub.second_look_seconds, 1, 3600),
            ("limits.upload_expiry_hours", limits.upload_expiry_hours, 1, 1_000_000),
            (
                "collection.grace_minutes",
                u64::from(self.collection.grace_minutes),
                1,
                1_000_000,
            ),
            (
                "collection.max_blobs_per_second",
                u64::from(self.collection.max_blobs_per_second),
                0,
                1_000_000,
            ),
            ("collection.concurrency", count(self.collection.concurrency), 1, 64),
            (
                "database.max_connections",
                u64::from(self.database.max_connections),
                1,
                1_000_000,
            ),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                return fail(format!("`{name}` is {value}; it must be between {least} and {most}"));
            }
        }
        if self.limits.drain_seconds > 86_400 {
            return fail("`limits.drain_seconds` must be at most 86400".into());
        }
        if let Err(error) = self.log.level.parse::<tracing_subscriber::EnvFilter>() {
            return fail(format!("`log.level` is `{}`: {error}", self.log.level));
        }
        Ok(())
    }

    /// The folder of the blobs.
    #[must_use]
    pub fn blobs_path(&self) -> PathBuf {
        self.blobs.path.clone().unwrap_or_else(|| self.data_dir.0.join("blobs"))
    }

    /// The file of the master key.
    #[must_use]
    pub fn master_key_file(&self) -> PathBuf {
        self.keys
            .master_key_file
            .clone()
            .unwrap_or_else(|| self.data_dir.0.join("keys").join("master.key"))
    }
}

/// The reference page of the configuration, in Markdown, from the flags and the defaults themselves.
#[must_use]
pub fn reference_page() -> String {
    use fmt::Write as _;

    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let mut page = String::from(
        "# Configuration of `hythe serve`\n\n\
         Generated by `cargo xtask docs`; do not edit.\n\n\
         A flag wins over an environment variable, a variable over the file named by `--config`, the file over the \
         default. Unknown keys, flags and `HYTHE_` variables are refused. `hythe config check` prints what is in force.\n\n\
         | flag | variable | what it sets |\n|---|---|---|\n",
    );
    for arg in command.get_arguments() {
        let flag = arg.get_long().unwrap_or_default();
        let variable = arg
            .get_env()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let help = arg
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default()
            .replace('|', "\\|");
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let values = if values.is_empty() || values.contains(&"`true`".to_owned()) {
            String::new()
        } else {
            format!(". Values: {}", values.join(", "))
        };
        let _ = writeln!(page, "| `--{flag}` | `{variable}` | {help}{values} |");
    }
    let defaults = toml::to_string_pretty(&Config::default()).unwrap_or_default();
    let _ = write!(page, "\n## The file, with every default\n\n```toml\n{defaults}```\n");
    page
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::load(&ServeArgs {
            config: Some(file.path().into()),
            ..ServeArgs::default()
        })
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"region = \"one\"\n[registry]\naddress = \"127.0.0.1:1\"\n")
            .unwrap();
        let args = ServeArgs {
            config: Some(file.path().into()),
            region: Some("two".parse().unwrap()),
            ..ServeArgs::default()
        };
        let config = Config::load(&args).unwrap();
        assert_eq!(config.region.as_str(), "two");
        assert_eq!(config.registry.address.port(), 1);
        assert_eq!(config.control.address.port(), 8080);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        let cases = [
            ("regoin = \"x\"", "regoin"),
            ("[registry]\nadress = \"127.0.0.1:1\"", "adress"),
            ("default_account = \"12\"", "12 digits"),
            (
                "[registry]\naddress = \"0.0.0.0:5000\"",
                "can be reached by other machines",
            ),
            ("[tls]\nmode = \"files\"", "tls.certificate"),
            ("[tls]\ncertificate = \"x\"", "tls.mode"),
            ("[registry]\npublic_url = \"example.com\"", "public_url"),
            ("[limits]\nmax_connections = 0", "max_connections"),
            ("[limits]\nmax_blob_mib = 52001", "between 1 and 52000"),
            ("[limits]\ntenant_share_percent = 101", "tenant_share_percent"),
            ("[lifecycle]\nperiod_minutes = 0", "lifecycle.period_minutes"),
            ("[collection]\ngrace_minutes = 0", "between 1 and"),
            ("[collection]\nconcurrency = 0", "collection.concurrency"),
            ("[database]\nurl = \"mysql://x\"", "postgres://"),
            ("[log]\nlevel = \"a=b=c\"", "log.level"),
        ];
        for (text, want) in cases {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(load("[registry]\naddress = \"0.0.0.0:5000\"\n[tls]\nmode = \"development\"").is_ok());
    }

    #[test]
    fn unknown_variables_are_refused() {
        let check = |name: &str| Config::check_variables([name.to_owned()].into_iter());
        assert!(check("HYTHE_REGISTRY_ADDRESS").is_ok());
        assert!(check("HYTHE_ENDPOINT").is_ok());
        assert!(check("PATH").is_ok());
        assert!(check("HYTHE_REGISTRY_ADRESS").is_err());
    }

    #[test]
    fn the_database_password_is_not_shown() {
        let url: DatabaseUrl = "postgres://hythe:secret@db.example.com:5432/hythe".parse().unwrap();
        for shown in [format!("{url}"), format!("{url:?}"), String::from(url)] {
            assert_eq!(shown, "postgres://hythe:…@db.example.com:5432/hythe");
        }
    }

    #[test]
    fn defaults_can_be_written_and_read_back() {
        let text = toml::to_string_pretty(&Config::default()).unwrap();
        assert!(load(&text).is_ok(), "{text}");
        assert!(reference_page().contains("HYTHE_DATA_DIR"));
    }
}
