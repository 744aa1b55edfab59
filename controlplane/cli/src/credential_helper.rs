// SPDX-License-Identifier: Apache-2.0
//! The Docker credential helper: one verb as argument, a request on standard input, the answer (or the error) on
//! standard output, as the protocol of `docker-credential-helpers` has it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use hythe_client::wire::CreateAuthorizationToken;
use hythe_client::{Arguments, Client, ConfigFile, Credentials, Environment, Settings, SettingsError};
use hythe_model::Clock;
use serde::{Deserialize, Serialize};

use crate::context::SystemClock;
use crate::error::CliError;
use crate::registry_address::RegistryAddress;
use crate::report::report;
use crate::token_cache::{CachedToken, TokenCache};
use crate::writer::write_out;

/// What every helper says of a registry that it does not know; Docker goes on without credentials then.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// How long the control plane may take; Docker's user is waiting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Answers Docker. `verb` is `get`, `store`, `erase`, `list` or `version`. Not for use within an async runtime: it makes its own.
#[must_use]
pub fn docker_credential_helper(verb: &str) -> ExitCode {
    let mut request = String::new();
    if matches!(verb, "get" | "store" | "erase") {
        let _ = std::io::stdin()
            .lock()
            .take(MAX_REQUEST_BYTES)
            .read_to_string(&mut request); // what is missing is refused below
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(answer(verb, &request, &Environment::of_process(), &SystemClock)),
        Err(error) => Err(error.to_string()),
    };
    let (text, code) = match answer {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    if write_out(&text).is_ok() {
        code
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    #[serde(rename = "ServerURL")]
    server_url: String,
    #[serde(rename = "Username")]
    user_name: String,
    #[serde(rename = "Secret")]
    secret: String,
}

async fn answer(verb: &str, request: &str, environment: &Environment, clock: &dyn Clock) -> Result<String, String> {
    match verb {
        "get" => {
            let server_url = request.trim();
            let found = get(host(server_url)?, environment, clock)
                .await
                .map_err(|error| explain(&error))?;
            let (user_name, secret) = found.ok_or(NOT_FOUND)?;
            let entry = Entry {
                server_url: server_url.into(),
                user_name,
                secret,
            };
            serde_json::to_string(&entry).map_err(|error| error.to_string())
        }
        // `docker login` hands over what the user typed. The helper makes its own tokens and has no use for it.
        "store" => match serde_json::from_str::<Entry>(request) {
            Ok(entry) => host(&entry.server_url).map(|_| String::new()),
            Err(_) => Err("the request is not a JSON object with ServerURL, Username and Secret".into()),
        },
        "erase" => {
            TokenCache::of(environment).erase(host(request.trim())?);
            Ok(String::new())
        }
        "list" => serde_json::to_string(&list(environment).map_err(|error| explain(&error))?)
            .map_err(|error| error.to_string()),
        "version" => Ok(format!(
            "{} (hythe) v{}",
            crate::CREDENTIAL_HELPER_NAME,
            env!("CARGO_PKG_VERSION")
        )),
        _ => Err(format!(
            "unknown verb `{verb}`: it must be get, store, erase, list or version"
        )),
    }
}

/// `host[:port]` of what Docker sends: a host, or a URL with a path.
fn host(server_url: &str) -> Result<&str, String> {
    let rest = server_url.split_once("://").map_or(server_url, |(_, rest)| rest);
    match rest.split('/').next() {
        Some(host) if !host.is_empty() => Ok(host),
        _ => Err(NO_SERVER.into()),
    }
}

fn explain(error: &CliError) -> String {
    let report = report(error);
    let hint = report.hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    format!("{}{hint}", report.message.unwrap_or_default())
}

/// User name and password for the registry at `host`; `None` if it is none of ours.
async fn get(host: &str, environment: &Environment, clock: &dyn Clock) -> Result<Option<(String, String)>, CliError> {
    let Some(settings) = settings_for(host, environment).await? else {
        return Ok(None);
    };
    if let (Credentials::Token(_), Some((user_name, password))) =
        (&settings.credentials, settings.credentials.user_and_password())
    {
        return Ok(Some((user_name.into(), password.expose().into())));
    }
    let cache = TokenCache::of(environment);
    let token = if let Some(token) = cache.get(host, &settings, clock.now()) {
        token
    } else {
        let made = Client::new(&settings)?
            .create_authorization_token(&CreateAuthorizationToken::default())
            .await?;
        let token = CachedToken::new(host, made);
        cache.put(&token, &settings, clock.now());
        token
    };
    Ok(Some((token.user_name, token.password.expose().into())))
}

/// The settings of the server whose registry is at `host`: those of a profile that says so, else those that every other
/// command would use, if that server says so.
async fn settings_for(host: &str, environment: &Environment) -> Result<Option<Settings>, CliError> {
    let mut arguments = Arguments {
        request_timeout: Some(REQUEST_TIMEOUT),
        ..Arguments::default()
    };
    if let Some(name) = profiles(environment)?
        .into_iter()
        .find_map(|(name, registry)| (registry == host).then_some(name))
    {
        arguments.profile = Some(name);
        return Ok(Some(Settings::resolve(environment, &arguments)?));
    }
    let settings = match Settings::resolve(environment, &arguments) {
        Ok(settings) => settings,
        Err(SettingsError::NoEndpoint | SettingsError::NoCredentials(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_ours = match &settings.registry {
        Some(registry) => registry == host,
        // A server that does not answer is no reason to fail a pull from elsewhere.
        None => match RegistryAddress::find(&Client::new(&settings)?).await {
            Ok(registry) => registry.host == host,
            Err(_) => false,
        },
    };
    Ok(is_ours.then_some(settings))
}

/// Profiles that name their registry, with it.
fn profiles(environment: &Environment) -> Result<Vec<(String, String)>, CliError> {
    let Some(path) = environment.config_file() else {
        return Ok(Vec::new());
    };
    let file = ConfigFile::load(&path)?;
    Ok(file
        .profiles
        .into_iter()
        .filter_map(|(name, profile)| Some((name, profile.registry?)))
        .collect())
}

/// The registries that the helper knows, with the user name for each.
fn list(environment: &Environment) -> Result<BTreeMap<String, String>, CliError> {
    let user = hythe_client::wire::TOKEN_USER_NAME;
    let mut known: BTreeMap<_, _> = profiles(environment)?
        .into_iter()
        .map(|(_, registry)| (registry, user.to_owned()))
        .collect();
    if let Ok(Settings {
        registry: Some(registry),
        ..
    }) = Settings::resolve(environment, &Arguments::default())
    {
        known.insert(registry, user.to_owned());
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::extract::State;
    use axum::routing::{get as on_get, post};
    use axum::{Json, Router};
    use hythe_model::ManualClock;
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;

    struct Server {
        endpoint: String,
        tokens: Arc<AtomicUsize>,
        _task: JoinSet<()>,
    }

    /// A control plane of the registry `reg.test:5000` that numbers the passwords it gives out.
    async fn server() -> Server {
        let tokens = Arc::new(AtomicUsize::new(0));
        let make = |State(tokens): State<Arc<AtomicUsize>>| async move {
            let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            Json(json!({
                "tokenId": "t", "authorizationToken": "x", "userName": "AWS", "password": format!("password-{number}"),
                "proxyEndpoint": "http://reg.test:5000", "issuedAt": "2026-11-01T00:00:00Z", "expiresAt": "2026-11-01T12:00:00Z",
            }))
        };
        let registry = || async {
            Json(
                json!({ "registryId": "000000000000", "region": "local", "registryUri": "reg.test:5000", "endpoint": "x", "version": "1" }),
            )
        };
        let app = Router::new()
            .route("/api/v1/authorization-tokens", post(make))
            .route("/api/v1/registry", on_get(registry))
            .with_state(tokens.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server {
            endpoint,
            tokens,
            _task: task,
        }
    }

    fn environment(folder: &TempDir, more: &[(&str, &str)]) -> Environment {
        let mut variables = vec![("HOME", folder.path().to_str().unwrap())];
        variables.extend(more);
        Environment::new(variables, folder.path().into())
    }

    fn at(time: &str) -> ManualClock {
        ManualClock::new(time.parse::<Timestamp>().unwrap())
    }

    #[tokio::test]
    async fn get_makes_a_token_and_keeps_it_for_half_its_life() {
        let (server, folder) = (server().await, tempfile::tempdir().unwrap());
        let variables = [
            ("HYTHE_ENDPOINT", server.endpoint.as_str()),
            ("HYTHE_ACCESS_KEY_ID", "K"),
            ("HYTHE_SECRET_ACCESS_KEY", "s"),
        ];
        let environment = environment(&folder, &variables);
        let cases = [
            ("reg.test:5000", "2026-11-01T00:00:01Z", "password-1"),
            ("https://reg.test:5000/v1/\n", "2026-11-01T05:59:59Z", "password-1"),
            ("reg.test:5000", "2026-11-01T06:00:00Z", "password-2"),
        ];
        for (request, time, password) in cases {
            let text = answer("get", request, &environment, &at(time)).await.unwrap();
            let entry: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                entry,
                json!({ "ServerURL": request.trim(), "Username": "AWS", "Secret": password })
            );
        }
        let cache: Vec<_> = std::fs::read_dir(folder.path().join(".cache/hythe/tokens"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(cache.len(), 1);
        assert_eq!(cache[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);

        assert_eq!(
            answer("erase", "reg.test:5000\n", &environment, &at("2026-11-01T06:00:00Z")).await,
            Ok(String::new())
        );
        answer("get", "reg.test:5000", &environment, &at("2026-11-01T06:00:00Z"))
            .await
            .unwrap();
        assert_eq!(server.tokens.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn another_registry_is_not_found() {
        let (server, folder) = (server().await, tempfile::tempdir().unwrap());
        let clock = at("2026-11-01T00:00:00Z");
        let nothing = environment(&folder, &[]);
        assert_eq!(
            answer("get", "docker.io", &nothing, &clock).await,
            Err(NOT_FOUND.into())
        );
        let ours = environment(
            &folder,
            &[("HYTHE_ENDPOINT", server.endpoint.as_str()), ("HYTHE_TOKEN", "t")],
        );
        assert_eq!(
            answer("get", "https://index.docker.io/v1/", &ours, &clock).await,
            Err(NOT_FOUND.into())
        );
        assert_eq!(answer("get", "\n", &ours, &clock).await, Err(NO_SERVER.into()));
        let gone = environment(
            &folder,
            &[("HYTHE_ENDPOINT", "http://127.0.0.1:1"), ("HYTHE_TOKEN", "t")],
        );
        assert_eq!(answer("get", "docker.io", &gone, &clock).await, Err(NOT_FOUND.into()));
    }

    #[tokio::test]
    async fn a_profile_answers_for_its_registry_whatever_the_environment_says() {
        let (server, folder) = (server().await, tempfile::tempdir().unwrap());
        let local = format!(
            "endpoint = \"{}\"\naccess_key_id = \"K\"\nsecret_access_key = \"s\"\n",
            server.endpoint
        );
        std::fs::write(folder.path().join("credentials"), local).unwrap();
        std::fs::create_dir_all(folder.path().join(".config/hythe")).unwrap();
        let config = format!(
            "[profiles.\"a\"]\nregistry = \"reg.test:5000\"\ncredentials_file = \"{}/credentials\"\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join(".config/hythe/config.toml"), config).unwrap();
        let environment = environment(
            &folder,
            &[("HYTHE_ENDPOINT", "http://127.0.0.1:1"), ("HYTHE_TOKEN", "t")],
        );
        let clock = at("2026-11-01T00:00:00Z");
        let text = answer("get", "reg.test:5000", &environment, &clock).await.unwrap();
        assert!(text.contains("password-1"), "{text}");
        assert_eq!(
            answer("list", "", &environment, &clock).await.unwrap(),
            r#"{"reg.test:5000":"AWS"}"#
        );
        std::fs::remove_file(folder.path().join("credentials")).unwrap();
        let error = answer("get", "reg.test:5000", &environment, &clock).await.unwrap_err();
        assert!(error.contains("no such file"), "{error}");
    }

    #[tokio::test]
    async fn the_other_verbs_follow_the_protocol() {
        let folder = tempfile::tempdir().unwrap();
        let (environment, clock) = (environment(&folder, &[]), at("2026-11-01T00:00:00Z"));
        let cases = [
            (
                "store",
                r#"{"ServerURL":"reg.test:5000","Username":"AWS","Secret":"s"}"#,
                Ok(""),
            ),
            (
                "store",
                r#"{"ServerURL":"","Username":"AWS","Secret":"s"}"#,
                Err(NO_SERVER),
            ),
            (
                "store",
                "x",
                Err("the request is not a JSON object with ServerURL, Username and Secret"),
            ),
            ("erase", "reg.test:5000", Ok("")),
            ("erase", "", Err(NO_SERVER)),
            ("list", "", Ok("{}")),
            (
                "version",
                "",
                Ok(concat!("docker-credential-hythe (hythe) v", env!("CARGO_PKG_VERSION"))),
            ),
            (
                "x",
                "",
                Err("unknown verb `x`: it must be get, store, erase, list or version"),
            ),
        ];
        for (verb, request, want) in cases {
            let got = answer(verb, request, &environment, &clock).await;
            assert_eq!(
                got.as_ref().map(String::as_str).map_err(String::as_str),
                want,
                "{verb} {request}"
            );
        }
    }
}
