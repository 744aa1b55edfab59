// SPDX-License-Identifier: Apache-2.0
//! Start, wiring and stop.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hythe_access::Gate;
use hythe_blobs::{BlobStore, FsBlobStore};
use hythe_catalog::Catalog;
use hythe_distribution::{Registry, RegistryConfig};
use hythe_jobs::{Collector, CollectorSettings};
use hythe_meta::{Store, StoreConfig};
use hythe_model::Clock;
use hythe_operations::{
    AccessGate, AddressStyle, AuditQueue, ControlPlane, LifecycleSettings, MasterKey, RegistryAddress, Verifier,
    VerifierSettings, WhenFull,
};
use jiff::SignedDuration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{AuditWhenFull, Config, ConfigError, DatabaseUrl, LogFormat, Plane, TlsMode};
use crate::creation::Creator;
use crate::data_dir::{self, CredentialsFile, DataDir, DataDirError};
use crate::health::{self, Health};
use crate::issuer_documents::HttpIssuerDocuments;
use crate::listener::{Bounds, Listener, Service};
use crate::metrics::Metrics;
use crate::passes::{archive, pull_times};
use crate::pull_through;
use crate::tls::{Certificate, TlsError};
use crate::verified::DamagedBlobs;
use crate::virtual_names::KnownVirtualNames;
use crate::{ServeArgs, SystemClock, descriptors, logs, passes, program_pages, tasks, verified};

/// How often the set of revoked tokens is read again: half of the second for which another node may accept a revoked one, so
/// that the other half is left for the reading.
const REFRESH_PERIOD: Duration = Duration::from_millis(500);
/// How often expired uploads are looked for.
const EXPIRY_PERIOD: Duration = Duration::from_mins(1);
/// How often a node looks for runs and previews of lifecycle policies that it was not told of.
const LIFECYCLE_PERIOD: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;
/// A fourth of the memory for bodies once more is what wide windows of HTTP/2 may take, 2 MiB each.
const WIDE_WINDOW_SHARE: u64 = 4;
/// Most uploads that one pass gives up.
const EXPIRY_BATCH: usize = 1000;

/// Why the server did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder.
    #[error("{0}{cause}", cause = because(.0))]
    DataDir(#[from] DataDirError),
    /// The certificate.
    #[error("{0}{cause}", cause = because(.0))]
    Tls(#[from] TlsError),
    /// The database.
    #[error("cannot open the metadata database: {0}{cause}", cause = because(.0))]
    Store(#[from] hythe_meta::OpenError),
    /// The blob store.
    #[error("cannot open the blob store in `{}`: {cause}", path.display())]
    Blobs {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The first start.
    #[error("cannot set up accounts: {0}{cause}", cause = because(.0))]
    Bootstrap(#[from] hythe_operations::BootstrapError),
    /// The keys.
    #[error("cannot make keys: {0}")]
    Crypto(#[from] hythe_operations::CryptoError),
    /// A listener.
    #[error("cannot listen on {address}: {cause}. Choose another address with --{name}-address")]
    Bind {
        /// Which listener.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// Signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// The causes of `error`, for a message that stands alone on a terminal.
fn because(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let shown = error.to_string();
        if !text.ends_with(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        cause = error.source();
    }
    text
}

/// What `hythe config check` prints: the configuration in force, as a file, without secrets.
pub fn check_config(args: &ServeArgs, form: ConfigForm) -> Result<String, ConfigError> {
    let config = Config::of_process(args)?;
    let printed = match form {
        ConfigForm::Toml => toml::to_string_pretty(&config).map_err(|error| error.to_string()),
        ConfigForm::Json => serde_json::to_string_pretty(&config)
            .map(|text| text + "\n")
            .map_err(|error| error.to_string()),
    };
    printed.map_err(ConfigError::Contradiction)
}

/// How to print a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigForm {
    /// As the file that `--config` takes.
    Toml,
    /// For programs.
    Json,
}

/// Runs the server until SIGTERM or SIGINT.
pub async fn serve(mut config: Config) -> Result<(), ServeError> {
    logs::start(&config.log);
    descriptors::fit(&mut config, descriptors::raise());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.data_dir.0)?;
    let master_key = data_dir::master_key(&config.master_key_file())?;
    let certificate = Certificate::open(&config, &data, clock.now())?;

    let store = Store::open(&store_config(&config, &data)).await?;
    store.set_cache_bytes(config.limits.max_cache_mib.saturating_mul(1024 * 1024));
    let files = Arc::new(open_blobs(&config)?);
    let verifier = verifier(&config, &store, &files, &clock);
    let damaged = DamagedBlobs::default();
    let blobs = verified::over(files, &config.blobs, &damaged);

    let listeners = Listeners::bind(&config, certificate.as_ref()).await?;
    let urls = Urls::new(&config, &listeners)?;
    let settings = settings(&config, &urls);
    let fresh = match hythe_operations::bootstrap(&store, &clock, &master_key, &config.default_account).await? {
        None if config.new_administrator_key => {
            let account = &config.default_account;
            Some(hythe_operations::create_administrator_key(&store, &clock, &master_key, account).await?)
        }
        fresh => fresh,
    };
    let gate = access_gate(&config, &store, &clock, &master_key)?;
    let issuers = HttpIssuerDocuments {
        allow_private_networks: config.identity_providers.allow_private_networks,
    };
    let plane = ControlPlane::new(store.clone(), Arc::new(gate), Arc::clone(&clock), settings)
        .with_issuer_documents(Arc::new(issuers));
    plane.set_lifecycle(LifecycleSettings {
        period: config.lifecycle.period(),
        is_strict: config.lifecycle.strict,
        ..LifecycleSettings::default()
    });
    let outgoing = config.outgoing.connections()?;
    let audit = open_audit(&config, &plane, &store, &clock)?;
    plane
        .gate()
        .refresh()
        .await
        .map_err(hythe_operations::BootstrapError::from)?;
    let credentials = write_credentials(&data, &urls, certificate.as_deref(), fresh)?;

    let stop = CancellationToken::new();
    let background = TaskTracker::new();
    let mut metrics = Metrics::new(clock.now());
    metrics.add_damaged_blobs(&damaged);
    metrics.add_scrub(verifier.metrics());
    let (registry, control_router) = routers(&config, &urls, &plane, &store, &blobs, &clock, &mut metrics);
    let mirrors = pull_through::connect(registry.as_ref(), &plane, &store, &clock, outgoing, metrics.registry())
        .await
        .map_err(hythe_operations::BootstrapError::from)?;
    if let Some(host) = mirrors {
        metrics.add_mirrors(&passes::mirror::start(&background, &stop, &store, &clock, host));
    }
    metrics.add_audit(&audit);
    let period = LIFECYCLE_PERIOD.min(expiry_period());
    metrics.add_lifecycle(&passes::lifecycle::start(&background, &stop, &plane, period));
    let outgoing = config.outgoing.connections()?;
    let replication = passes::replication::start(&background, &stop, &plane, &store, &blobs, &clock, outgoing);
    metrics.add_replication(&replication);
    let collector = collector(&config, &plane, &store, &blobs, &clock);
    metrics.add_collection(collector.metrics());
    archive::start(&background, &stop, &store, &blobs, &clock, metrics.registry());
    let pulls = pull_times::start(&background, &stop, &store, registry.as_ref(), metrics.registry());
    for listener in listeners.all() {
        metrics.add_listener(listener.0, &listener.1.metrics());
    }
    let health = health::router(Health {
        store: store.clone(),
        blobs: Arc::clone(&blobs),
        stop: stop.clone(),
        metrics: Arc::new(metrics),
        gate: Arc::clone(plane.gate()),
        checked: health::Checked::default(),
    });
    let upload_idle = Duration::from_hours(config.limits.upload_expiry_hours);
    let (auditing, audit_stop) = start_audit(&audit);
    start_passes(&background, &stop, &plane, &store, &blobs, &clock, upload_idle);
    passes::upstream::start(&background, &stop, &store, registry.as_ref());
    passes::collection::start(&background, &stop, collector, config.collection.enabled);
    passes::scrub::start(&background, &stop, verifier);
    background.spawn(program_pages::release_when_idle(stop.clone()));

    let grace = Duration::from_secs(config.limits.drain_seconds);
    let serving = TaskTracker::new();
    let control_router = match listeners.health {
        Some(listener) => {
            let service = Service::Router(health);
            serving.spawn(report(listener.serve(service, stop.clone(), grace)));
            control_router
        }
        None => control_router.merge(health),
    };
    if let (Some(listener), Some(registry)) = (listeners.registry, registry.clone()) {
        let service = Service::Registry(registry);
        serving.spawn(report(listener.serve(service, stop.clone(), grace)));
    }
    let control = Service::Router(control_router);
    serving.spawn(report(listeners.control.serve(control, stop.clone(), grace)));
    serving.close();

    tracing::info!(registry.url = %urls.registry, control.url = %urls.control, database = %config.database.url, "ready");
    greet(&config, &urls, credentials.as_ref());
    wait_for_signal(certificate.as_deref()).await?;

    tracing::info!("stopping: requests have {} s to finish", config.limits.drain_seconds);
    stop.cancel();
    serving.wait().await;
    if let Some(registry) = registry {
        registry.drain().await;
    }
    background.close();
    background.wait().await;
    if let Err(error) = plane.gate().write_last_used().await {
        tracing::warn!(error = %error, "cannot write when access keys were last used");
    }
    pull_times::finish(&pulls).await;
    // Last, when nobody is left to leave a record.
    audit_stop.cancel();
    auditing.wait().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn settings(config: &Config, urls: &Urls) -> hythe_operations::Settings {
    hythe_operations::Settings {
        region: config.region.clone(),
        default_account: config.default_account.clone(),
        registry: urls.registry_address(config),
        control_endpoint: urls.control.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        create_on_push: config.registry.create_on_push,
    }
}

/// Writes records of the audit log until it is told to stop, which is after everything else has stopped.
fn start_audit(audit: &Arc<AuditQueue>) -> (TaskTracker, CancellationToken) {
    let (passes, stop) = (Arc::clone(audit), CancellationToken::new());
    let end = stop.clone();
    let auditing = TaskTracker::new();
    auditing.spawn(async move { passes.run(end).await });
    auditing.close();
    (auditing, stop)
}

/// Who may do what, by the operator's rules.
fn access_gate(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
    master_key: &MasterKey,
) -> Result<AccessGate, ServeError> {
    let gate = AccessGate::new(store.clone(), Arc::clone(clock), master_key, config.region.clone())?
        .with_default_account(config.default_account.clone())
        .with_limits(config.rates.logins(), config.rates.requests().as_ref());
    Ok(match config.keys.rotate_signing_key_days {
        0 => gate,
        days => gate.with_key_rotation(SignedDuration::from_hours(24 * i64::from(days))),
    })
}

fn open_blobs(config: &Config) -> Result<FsBlobStore, ServeError> {
    let path = config.blobs_path();
    let files = match &config.blobs.archive_path {
        Some(archive) => FsBlobStore::open_with_archive(&path, archive),
        None => FsBlobStore::open(&path),
    };
    files.map_err(|cause| ServeError::Blobs { path, cause })
}

fn store_config(config: &Config, data: &DataDir) -> StoreConfig {
    match &config.database.url {
        DatabaseUrl::Sqlite => StoreConfig::Sqlite {
            path: data.join("hythe.db"),
        },
        DatabaseUrl::Postgres(url) => StoreConfig::Postgres {
            url: url.clone(),
            max_connections: config.database.max_connections,
        },
    }
}

/// The listeners that the configuration asks for, bound.
struct Listeners {
    registry: Option<Listener>,
    control: Listener,
    health: Option<Listener>,
}

impl Listeners {
    async fn bind(config: &Config, certificate: Option<&Arc<Certificate>>) -> Result<Self, ServeError> {
        let tls = || certificate.map(Certificate::server_config);
        let bounds = Bounds {
            max_connections: config.limits.max_connections,
            max_connections_per_address: config.limits.max_connections_per_address,
            max_header_bytes: config.limits.max_header_kib * 1024,
            write_idle: Duration::from_secs(config.limits.write_idle_seconds),
            min_bytes_per_second: config.limits.min_bytes_per_second,
            // Nobody sends large bodies but to the registry.
            wide_window_bytes: 0,
        };
        let bind = async |name, address, tls| {
            let wide_window_bytes = match name {
                "registry" => config.limits.max_mib_in_flight * MIB / WIDE_WINDOW_SHARE,
                _ => 0,
            };
            let bounds = Bounds {
                wide_window_bytes,
                ..bounds
            };
            Listener::bind(name, address, tls, bounds)
                .await
                .map_err(|cause| ServeError::Bind { name, address, cause })
        };
        let registry = match config.plane {
            Plane::Control => None,
            Plane::All | Plane::Registry => Some(bind("registry", config.registry.address, tls()).await?),
        };
        let control = bind("control", config.control.address, tls()).await?;
        let health = match config.health.address {
            Some(address) => Some(bind("health", address, None).await?),
            None => None,
        };
        Ok(Self {
            registry,
            control,
            health,
        })
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Listener)> {
        let registry = self.registry.iter().map(|listener| ("registry", listener));
        let health = self.health.iter().map(|listener| ("health", listener));
        registry.chain([("control", &self.control)]).chain(health)
    }
}

/// Where clients find the planes.
struct Urls {
    registry: String,
    control: String,
}

impl Urls {
    fn new(config: &Config, listeners: &Listeners) -> Result<Self, ServeError> {
        let scheme = if config.tls.mode == TlsMode::Off {
            "http"
        } else {
            "https"
        };
        let bound = |name, listener: &Listener| {
            listener.address().map_err(|cause| ServeError::Bind {
                name,
                address: config.control.address,
                cause,
            })
        };
        // An address that stands for all has to be replaced by one that can be called.
        let shown = |address: SocketAddr| match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("{scheme}://127.0.0.1:{}", v4.port()),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("{scheme}://[::1]:{}", v6.port()),
            address => format!("{scheme}://{address}"),
        };
        let registry = match (&config.registry.public_url, &listeners.registry) {
            (Some(url), _) => url.clone(),
            (None, Some(listener)) => shown(bound("registry", listener)?),
            (None, None) => shown(config.registry.address),
        };
        let control = match &config.control.public_url {
            Some(url) => url.clone(),
            None => shown(bound("control", &listeners.control)?),
        };
        Ok(Self { registry, control })
    }

    fn registry_address(&self, config: &Config) -> RegistryAddress {
        RegistryAddress {
            is_tls: self.registry.starts_with("https://"),
            authority: match &config.registry.base_domain {
                Some(domain) => match self.registry_host().rsplit_once(':') {
                    Some((_, port)) if config.registry.public_url.is_none() => format!("{domain}:{port}"),
                    _ => domain.clone(),
                },
                None => self.registry_host().into(),
            },
            style: if config.registry.base_domain.is_some() {
                AddressStyle::Host
            } else {
                AddressStyle::Default
            },
        }
    }

    fn registry_host(&self) -> &str {
        self.registry.split("://").nth(1).unwrap_or(&self.registry)
    }
}

/// Writes the administrator's credentials on a first start, and where the planes are on every start.
fn write_credentials(
    data: &DataDir,
    urls: &Urls,
    certificate: Option<&Certificate>,
    fresh: Option<hythe_operations::NewCredentials>,
) -> Result<Option<CredentialsFile>, ServeError> {
    let path = data.credentials_path();
    let known = match fresh {
        Some(fresh) => Some((fresh.access_key_id, fresh.secret_access_key.expose().to_owned())),
        None => CredentialsFile::read(&path)?.map(|file| (file.access_key_id, file.secret_access_key)),
    };
    let Some((access_key_id, secret_access_key)) = known else {
        return Ok(None);
    };
    let file = CredentialsFile {
        endpoint: urls.control.clone(),
        registry: urls.registry_host().into(),
        access_key_id,
        secret_access_key,
        ca_bundle: certificate.and_then(|certificate| certificate.ca_path.clone()),
    };
    file.write(&path)?;
    Ok(Some(file))
}

fn routers(
    config: &Config,
    urls: &Urls,
    plane: &ControlPlane,
    store: &Store,
    blobs: &Arc<dyn BlobStore>,
    clock: &Arc<dyn Clock>,
    metrics: &mut Metrics,
) -> (Option<Registry>, Router) {
    let gate: Arc<dyn Gate> = Arc::<AccessGate>::clone(plane.gate());
    let catalog: Arc<dyn Catalog> = Arc::new(store.clone());
    let registry = (config.plane != Plane::Control).then(|| {
        let counts = hythe_distribution::Metrics::new();
        counts.register(metrics.registry());
        let limits = hythe_distribution::Limits {
            max_blob_bytes: config.limits.max_blob_mib * MIB,
            upload_idle_timeout: Duration::from_hours(config.limits.upload_expiry_hours),
            body_stall_timeout: Duration::from_secs(config.limits.body_idle_seconds),
            min_body_bytes_per_second: config.limits.min_bytes_per_second,
            max_concurrent_requests: config.limits.max_concurrent_requests,
            max_concurrent_uploads: config.limits.max_concurrent_uploads,
            max_concurrent_manifest_pushes: config.limits.max_concurrent_manifest_pushes,
            max_bytes_in_flight: config.limits.max_mib_in_flight * MIB,
            tenant_share_percent: config.limits.tenant_share_percent,
            max_wait: Duration::from_secs(config.limits.max_wait_seconds),
            ..hythe_distribution::Limits::default()
        };
        let registry_config = RegistryConfig {
            default_account: config.default_account.clone(),
            region: config.region.clone(),
            host_accounts: config.registry.hosts.clone().into_iter().collect(),
            base_domain: config.registry.base_domain.clone(),
            limits,
            service: urls.registry_host().into(),
            public_url: config.registry.public_url.clone(),
        };
        let registry = Registry::new(
            registry_config,
            gate,
            catalog,
            Arc::clone(blobs),
            Arc::clone(clock),
            counts,
        );
        registry.set_repository_creator(Arc::new(Creator(plane.clone())));
        registry.set_virtual_repositories(Arc::new(KnownVirtualNames(plane.clone())));
        if let Some(audit) = plane.audit() {
            registry.set_audit_log(Arc::<AuditQueue>::clone(audit));
        }
        registry
    });
    let control = match config.plane {
        Plane::Registry => Router::new(),
        Plane::All | Plane::Control => {
            let counts = hythe_rest::Metrics::default();
            counts.register(metrics.registry());
            hythe_rest::router(plane.clone(), counts)
        }
    };
    (registry, control)
}

/// Begins to record requests.
fn open_audit(
    config: &Config,
    plane: &ControlPlane,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<AuditQueue>, ServeError> {
    let queue = AuditQueue::new(store.clone(), Arc::clone(clock), plane.gate().auditor())?;
    let when_full = match config.audit.when_full {
        AuditWhenFull::Count => WhenFull::Count,
        AuditWhenFull::Refuse => WhenFull::Refuse,
    };
    let queue = queue.bounded(config.audit.max_waiting_mib.saturating_mul(1024 * 1024), when_full);
    let queue = Arc::new(if config.audit.reads {
        queue
    } else {
        tracing::warn!("audit.reads is off: reads that are allowed leave no record");
        queue.without_reads()
    });
    plane.set_audit(Arc::clone(&queue));
    Ok(queue)
}

/// What works on scrubs, at the pace that the operator allows.
fn verifier(config: &Config, store: &Store, files: &Arc<FsBlobStore>, clock: &Arc<dyn Clock>) -> Verifier {
    let settings = VerifierSettings {
        node: uuid::Uuid::new_v4().to_string(),
        bytes_per_second: config.scrub.max_mib_per_second * MIB,
        rows_per_second: config.scrub.max_rows_per_second,
        second_look: Duration::from_secs(config.scrub.second_look_seconds),
    };
    Verifier::new(
        store.clone(),
        Arc::<FsBlobStore>::clone(files),
        Arc::clone(clock),
        settings,
    )
}

fn start_passes(
    background: &TaskTracker,
    stop: &CancellationToken,
    plane: &ControlPlane,
    store: &Store,
    blobs: &Arc<dyn BlobStore>,
    clock: &Arc<dyn Clock>,
    upload_idle: Duration,
) {
    let refreshed = plane.clone();
    tasks::every(background, stop, "access.refresh", REFRESH_PERIOD, move || {
        let plane = refreshed.clone();
        async move { plane.gate().refresh().await }
    });
    passes::retention::start(background, stop, store, clock, expiry_period());
    passes::upstream::start_forgetting(background, stop, store, clock, expiry_period());
    let (store, blobs, clock) = (store.clone(), Arc::clone(blobs), Arc::clone(clock));
    tasks::every(background, stop, "upload.expire", expiry_period(), move || {
        let (store, blobs, clock) = (store.clone(), Arc::clone(&blobs), Arc::clone(&clock));
        async move {
            let expired = hythe_distribution::expire_uploads(&store, &*blobs, clock.now(), EXPIRY_BATCH).await?;
            if expired > 0 {
                tracing::info!(uploads = expired, "gave up uploads that received nothing for too long");
            }
            let stale = hythe_distribution::discard_stale_uploads(&store, &*blobs, upload_idle, EXPIRY_BATCH).await?;
            if stale > 0 {
                tracing::info!(uploads = stale, "threw away bytes that no upload leads to");
            }
            Ok::<(), hythe_distribution::ExpireError>(())
        }
    });
}

/// Takes away what nobody needs, by the operator's rules.
fn collector(
    config: &Config,
    plane: &ControlPlane,
    store: &Store,
    blobs: &Arc<dyn BlobStore>,
    clock: &Arc<dyn Clock>,
) -> Collector {
    let settings = &config.collection;
    store.set_link_grace(settings.grace());
    plane.set_collection(hythe_operations::CollectionSettings {
        is_enabled: settings.enabled,
        grace: settings.grace(),
        max_blobs_per_second: settings.max_blobs_per_second,
    });
    Collector::new(
        store.clone(),
        Arc::clone(blobs),
        Arc::clone(clock),
        CollectorSettings {
            grace: settings.grace(),
            condemned_for: settings.condemned_for(),
            max_blobs_per_second: settings.max_blobs_per_second,
            concurrency: settings.concurrency,
        },
    )
}

/// How often expired uploads are looked for; a test may be in a hurry.
fn expiry_period() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(period) = crate::test_hooks::expiry_period() {
        return period;
    }
    EXPIRY_PERIOD
}

async fn report(serving: impl Future<Output = usize>) {
    let given_up = serving.await;
    if given_up > 0 {
        tracing::warn!(
            connections = given_up,
            "gave up connections that did not finish in time"
        );
    }
}

/// Says what to do next, on standard output, for people.
fn greet(config: &Config, urls: &Urls, credentials: Option<&CredentialsFile>) {
    if config.log.format == LogFormat::Json {
        return; // nobody reads; the log has the same facts
    }
    let data_dir = config.data_dir.0.display();
    let host = urls.registry_host();
    let planes = match config.plane {
        Plane::All => format!("Registry {}, control plane {}", urls.registry, urls.control),
        Plane::Registry => format!("Registry {}, health and metrics {}", urls.registry, urls.control),
        Plane::Control => format!("Control plane {}, for the registry {}", urls.control, urls.registry),
    };
    let mut text = format!("Hythe is ready. {planes}, data in {data_dir}\n");
    if config.tls.mode == TlsMode::Development {
        let _ = write!(
            text,
            "\nFor container tools to trust its certificates, as root:\n\
             \x20 install -D -m 644 {data_dir}/tls/ca.pem /etc/docker/certs.d/{host}/ca.crt\n"
        );
    }
    // Logging in takes a control plane.
    if credentials.is_some() && config.plane != Plane::Registry {
        let hint = if data_dir.to_string() == "hythe-data" {
            String::new()
        } else {
            format!(" (first: export HYTHE_CREDENTIALS_FILE={data_dir}/credentials)")
        };
        let _ = write!(
            text,
            "\nTo log in, make a repository and push, in another shell{hint}:\n\
             \x20 hythe login docker\n\
             \x20 hythe repository create team/web\n\
             \x20 docker tag my-image {host}/team/web:1 && docker push {host}/team/web:1\n"
        );
    }
    let _ = std::io::stdout().lock().write_all(text.as_bytes()); // nobody may be reading
}

/// Waits for SIGTERM or SIGINT. SIGHUP reads the certificate again.
async fn wait_for_signal(certificate: Option<&Certificate>) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => match certificate.map(Certificate::reload) {
                Some(Ok(())) => tracing::info!("read the certificate again"),
                Some(Err(error)) => tracing::error!(error = %error, "cannot read the certificate again; the old one stays"),
                None => {}
            },
        }
    }
}
