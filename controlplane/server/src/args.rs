// SPDX-License-Identifier: Apache-2.0
//! Flags and environment variables of the server. Each is also a key of the configuration file; a flag
//! wins over a variable, a variable over the file, the file over the default.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hythe_model::{AccountId, Region};
use hythe_upstream::Network;

use crate::config::{AuditWhenFull, DatabaseUrl, LogFormat, Plane, TlsMode};

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read file, environment and flags, say what is wrong, and print what would be in force.
    Check(Box<ServeArgs>),
}

/// Settings of `hythe serve`.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML). Unknown keys are refused.
    #[arg(long, env = "HYTHE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder for the embedded database, blobs, keys and credentials; made if it is absent.
    #[arg(long, env = "HYTHE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Which planes to serve.
    #[arg(long, env = "HYTHE_PLANE", value_enum)]
    pub plane: Option<Plane>,

    /// Name of the region that this deployment is.
    #[arg(long, env = "HYTHE_REGION")]
    pub region: Option<Region>,

    /// Account of requests that name none.
    #[arg(long, env = "HYTHE_DEFAULT_ACCOUNT", value_name = "12 DIGITS")]
    pub default_account: Option<AccountId>,

    /// Address of the registry listener (`/v2/`, `/token`). Port 0 takes a free port.
    #[arg(long, env = "HYTHE_REGISTRY_ADDRESS", value_name = "IP:PORT")]
    pub registry_address: Option<SocketAddr>,

    /// Base URL of the registry as clients see it, behind a proxy or with a name.
    #[arg(long, env = "HYTHE_REGISTRY_PUBLIC_URL", value_name = "URL")]
    pub registry_public_url: Option<String>,

    /// Serve each account at `<account>.<domain>`.
    #[arg(long, env = "HYTHE_REGISTRY_BASE_DOMAIN", value_name = "DOMAIN")]
    pub registry_base_domain: Option<String>,

    /// Create the repository of a first push also if no creation template is for it.
    #[arg(long, env = "HYTHE_CREATE_ON_PUSH", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub create_on_push: Option<bool>,

    /// Address of the control listener (`/api/v1/`, health, metrics). Port 0 takes a free port.
    #[arg(long, env = "HYTHE_CONTROL_ADDRESS", value_name = "IP:PORT")]
    pub control_address: Option<SocketAddr>,

    /// Base URL of the control plane as clients see it.
    #[arg(long, env = "HYTHE_CONTROL_PUBLIC_URL", value_name = "URL")]
    pub control_public_url: Option<String>,

    /// Address of an own listener for `/livez`, `/readyz` and `/metrics`; they leave the control listener then.
    #[arg(long, env = "HYTHE_HEALTH_ADDRESS", value_name = "IP:PORT")]
    pub health_address: Option<SocketAddr>,

    /// TLS on both listeners: `off`, `files` (certificate and key below), or `development` (a CA made in the data folder).
    #[arg(long, env = "HYTHE_TLS_MODE", value_enum)]
    pub tls_mode: Option<TlsMode>,

    /// Certificate chain (PEM) for `--tls-mode files`.
    #[arg(long, env = "HYTHE_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// Private key (PEM) for `--tls-mode files`.
    #[arg(long, env = "HYTHE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Further host name or address in the certificate of `--tls-mode development`; may be repeated.
    #[arg(
        long = "tls-name",
        env = "HYTHE_TLS_NAMES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub tls_names: Option<Vec<String>>,

    /// Speak plain HTTP on addresses that other machines can reach. Passwords and images travel unencrypted.
    #[arg(long, env = "HYTHE_ALLOW_PLAIN_HTTP", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_plain_http: Option<bool>,

    /// Database: `sqlite` (in the data folder) or `postgres://user:password@host/database`.
    #[arg(
        long = "database",
        env = "HYTHE_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<DatabaseUrl>,

    /// Most connections to PostgreSQL.
    #[arg(long, env = "HYTHE_DATABASE_MAX_CONNECTIONS", value_name = "N")]
    pub database_max_connections: Option<u32>,

    /// Folder of the blobs; the data folder's `blobs` if absent.
    #[arg(long, env = "HYTHE_BLOBS_PATH", value_name = "DIR")]
    pub blobs_path: Option<PathBuf>,

    /// Folder of the blobs that only archived images need, on another disk for instance; `archive` below that of the blobs if absent.
    #[arg(long, env = "HYTHE_ARCHIVE_PATH", value_name = "DIR")]
    pub archive_path: Option<PathBuf>,

    /// File with the master key (made if absent); nodes of one deployment need the same.
    #[arg(long, env = "HYTHE_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// Days after which a new key signs tokens; 0 leaves it to `hythe signing-key rotate`.
    #[arg(long, env = "HYTHE_ROTATE_SIGNING_KEY_DAYS", value_name = "DAYS")]
    pub rotate_signing_key_days: Option<u32>,

    /// Make another access key for the administrator and write it to the credentials file; for who lost the first.
    #[arg(long)]
    pub new_administrator_key: bool,

    /// Fetch keys also from identity providers on private networks; the default. Addresses of this machine and link-local ones stay closed.
    #[arg(long, env = "HYTHE_ALLOW_PRIVATE_ISSUERS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_private_issuers: Option<bool>,

    /// Network besides the public ones in which other registries may be reached, also without TLS; may be repeated.
    #[arg(
        long = "outgoing-allow",
        env = "HYTHE_OUTGOING_ALLOW",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub outgoing_allow: Option<Vec<Network>>,

    /// File (PEM) with authorities that certificates of other registries may come from, besides those of the system.
    #[arg(long, env = "HYTHE_OUTGOING_CA_FILE", value_name = "FILE")]
    pub outgoing_ca_file: Option<PathBuf>,

    /// Taking away blobs that nobody needs.
    #[command(flatten)]
    pub collection: CollectionArgs,

    /// Form of the log on standard error.
    #[arg(long, env = "HYTHE_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,

    /// Level of the log: `error`, `warn`, `info`, `debug`, `trace`, or a list such as `info,hythe_meta=debug`.
    #[arg(long, env = "HYTHE_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Compare the bytes of each blob with its digest while it is read, and break off where they differ.
    #[arg(long, env = "HYTHE_VERIFY_READS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub verify_reads: Option<bool>,

    /// Seconds for which a verified blob counts as whole when parts of it are read; 0 checks each time.
    #[arg(long, env = "HYTHE_VERIFIED_FOR_SECONDS", value_name = "SECONDS")]
    pub verified_for_seconds: Option<u64>,

    /// Record reads that are allowed, such as pulls, in the audit log; changes and refusals always are.
    #[arg(long, env = "HYTHE_AUDIT_READS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub audit_reads: Option<bool>,

    /// Most memory that records of reads take while they wait to be written to the audit log, in MiB.
    #[arg(long, env = "HYTHE_AUDIT_MAX_WAITING_MIB", value_name = "MIB")]
    pub audit_max_waiting_mib: Option<usize>,

    /// What happens to reads when that is taken.
    #[arg(long, env = "HYTHE_AUDIT_WHEN_FULL", value_enum, value_name = "WHAT")]
    pub audit_when_full: Option<AuditWhenFull>,

    /// Minutes between two evaluations of a lifecycle policy, give or take a tenth.
    #[arg(long, env = "HYTHE_LIFECYCLE_PERIOD_MINUTES", value_name = "MINUTES")]
    pub lifecycle_period_minutes: Option<u32>,

    /// Take only lifecycle policies that ECR would take too: no `retain`, no hours and weeks, no expiry by last pull.
    #[arg(long, env = "HYTHE_STRICT_LIFECYCLE_POLICIES", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub strict_lifecycle_policies: Option<bool>,
    /// Most of the blob store that a scrub reads in a second, in MiB.
    #[arg(long, env = "HYTHE_SCRUB_MAX_MIB_PER_SECOND", value_name = "MIB")]
    pub scrub_max_mib_per_second: Option<u64>,

    /// Most rows and files that a scrub looks at in a second.
    #[arg(long, env = "HYTHE_SCRUB_MAX_ROWS_PER_SECOND", value_name = "N")]
    pub scrub_max_rows_per_second: Option<u64>,

    /// Seconds after which a scrub looks again at what looks wrong.
    #[arg(long, env = "HYTHE_SCRUB_SECOND_LOOK_SECONDS", value_name = "SECONDS")]
    pub scrub_second_look_seconds: Option<u64>,

    /// Limit how often each principal may ask, by the settings below `rates`; ECR's quotas unless they say otherwise.
    #[arg(long, env = "HYTHE_LIMIT_REQUEST_RATES")]
    pub limit_request_rates: bool,

    /// Bounds.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Taking away blobs that nobody needs.
#[derive(Debug, Default, Args)]
pub struct CollectionArgs {
    /// Take blobs away that nobody needs, all the time; the default. Otherwise only when somebody runs `hythe gc run`.
    #[arg(id = "collection", long = "collection", env = "HYTHE_COLLECTION", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub enabled: Option<bool>,

    /// Minutes that a pushed blob stays though no image needs it; longer than a push takes from its first layer to the manifest.
    #[arg(
        id = "collection_grace_minutes",
        long = "collection-grace-minutes",
        env = "HYTHE_COLLECTION_GRACE_MINUTES",
        value_name = "MINUTES"
    )]
    pub grace_minutes: Option<u32>,

    /// Most blobs that this process takes away in a second; 0 sets no bound.
    #[arg(
        id = "collection_max_blobs_per_second",
        long = "collection-max-blobs-per-second",
        env = "HYTHE_COLLECTION_MAX_BLOBS_PER_SECOND",
        value_name = "N"
    )]
    pub max_blobs_per_second: Option<u32>,

    /// How many blobs are taken away at once.
    #[arg(
        id = "collection_concurrency",
        long = "collection-concurrency",
        env = "HYTHE_COLLECTION_CONCURRENCY",
        value_name = "N"
    )]
    pub concurrency: Option<usize>,
}

/// Bounds of the server.
#[derive(Debug, Default, Args)]
pub struct LimitArgs {
    /// Most connections at once, on each listener; further ones get 503. Lowered if the system gives too few file descriptors.
    #[arg(long, env = "HYTHE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,

    /// Most connections at once from one address (of IPv6: one network of 64 bits), on each listener.
    #[arg(long, env = "HYTHE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub max_connections_per_address: Option<usize>,

    /// Most registry requests that are answered at once; further ones get 503.
    #[arg(long, env = "HYTHE_MAX_CONCURRENT_REQUESTS", value_name = "N")]
    pub max_concurrent_requests: Option<usize>,

    /// Most uploads that send bytes at once; further ones wait, then get 429.
    #[arg(long, env = "HYTHE_MAX_CONCURRENT_UPLOADS", value_name = "N")]
    pub max_concurrent_uploads: Option<usize>,

    /// Most manifests that are received at once; further ones wait, then get 429.
    #[arg(long, env = "HYTHE_MAX_CONCURRENT_MANIFEST_PUSHES", value_name = "N")]
    pub max_concurrent_manifest_pushes: Option<usize>,

    /// Most memory for bodies on their way, in MiB; requests that need more wait, then get 503.
    #[arg(long, env = "HYTHE_MAX_MIB_IN_FLIGHT", value_name = "MIB")]
    pub max_mib_in_flight: Option<u64>,

    /// Most of the registry's requests, uploads, manifests and memory that one account may take (without credentials: one address).
    #[arg(long, env = "HYTHE_TENANT_SHARE_PERCENT", value_name = "PERCENT")]
    pub tenant_share_percent: Option<u64>,

    /// Seconds that a request waits for its turn before it is turned away.
    #[arg(long, env = "HYTHE_MAX_WAIT_SECONDS", value_name = "SECONDS")]
    pub max_wait_seconds: Option<u64>,

    /// Most memory for small blobs, manifests and other rows of the embedded database that are kept for the next pull.
    #[arg(long, env = "HYTHE_MAX_CACHE_MIB", value_name = "MIB")]
    pub max_cache_mib: Option<usize>,

    /// Most of the headers of a request.
    #[arg(long, env = "HYTHE_MAX_HEADER_KIB", value_name = "KIB")]
    pub max_header_kib: Option<usize>,

    /// The largest blob; at most ECR's 52000.
    #[arg(long, env = "HYTHE_MAX_BLOB_MIB", value_name = "MIB")]
    pub max_blob_mib: Option<u64>,

    /// Bytes per second that a client must send and take at least while it is waited for.
    #[arg(long, env = "HYTHE_MIN_BYTES_PER_SECOND", value_name = "BYTES")]
    pub min_bytes_per_second: Option<u64>,

    /// Seconds after which a body that sends less than that is given up.
    #[arg(long, env = "HYTHE_BODY_IDLE_SECONDS", value_name = "SECONDS")]
    pub body_idle_seconds: Option<u64>,

    /// Seconds after which a client that reads less than that of what it asked for is given up.
    #[arg(long, env = "HYTHE_WRITE_IDLE_SECONDS", value_name = "SECONDS")]
    pub write_idle_seconds: Option<u64>,

    /// Hours after which an upload that receives nothing is given up.
    #[arg(long, env = "HYTHE_UPLOAD_EXPIRY_HOURS", value_name = "HOURS")]
    pub upload_expiry_hours: Option<u64>,

    /// Seconds that requests have to finish when the server stops.
    #[arg(long, env = "HYTHE_DRAIN_SECONDS", value_name = "SECONDS")]
    pub drain_seconds: Option<u64>,
}
