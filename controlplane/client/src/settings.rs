// SPDX-License-Identifier: Apache-2.0
//! Which server to talk to, and as whom: the one resolution that the command line, the credential helper and the provider share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hythe_wire::Secret;

use crate::endpoint::{Endpoint, EndpointError};
use crate::oidc::OidcLogin;
use crate::profile::{ConfigFile, Profile, credentials};
use crate::{Credentials, Environment, TokenSource, WebIdentity};

/// How long one request to the control plane may take, unless set.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The profile that counts when none is named.
const DEFAULT_PROFILE: &str = "default";

/// Everything that a client needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The control plane.
    pub endpoint: Endpoint,
    /// As whom.
    pub credentials: Credentials,
    /// A PEM file with the certificate authorities to trust beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Whether to accept any certificate.
    pub insecure: bool,
    /// `host[:port]` of the registry, where it is known without asking.
    pub registry: Option<String>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Where the credentials come from.
    pub source: SettingsSource,
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsSource {
    /// Arguments: flags of the command line, or the provider's configuration.
    Arguments,
    /// Environment variables.
    Environment,
    /// A profile of the configuration file.
    Profile(String),
    /// The file that a server on this machine has written.
    LocalServer(PathBuf),
}

/// What the caller was given as arguments; it comes before everything else.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// The URL of the control plane.
    pub endpoint: Option<String>,
    /// The id of an access key.
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// An authorization token.
    pub token: Option<Secret>,
    /// The ARN of a role whose sessions are opened with the token in the file below.
    pub role_arn: Option<String>,
    /// What the sessions of the role are called.
    pub role_session_name: Option<String>,
    /// A file with a token of an identity provider.
    pub web_identity_token_file: Option<PathBuf>,
    /// The name of a profile.
    pub profile: Option<String>,
    /// A PEM file with certificate authorities.
    pub ca_bundle: Option<PathBuf>,
    /// Whether to accept any certificate.
    pub insecure: bool,
    /// How long one request may take.
    pub request_timeout: Option<Duration>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No source has an endpoint.
    #[error("no Hythe server is configured")]
    NoEndpoint,
    /// There is an endpoint, and nothing to log in with.
    #[error("no credentials for `{0}`")]
    NoCredentials(String),
    /// An id without a secret, or the reverse.
    #[error("{of}: the {missing} is missing")]
    HalfAccessKey {
        /// The source.
        of: String,
        /// The part that is not there.
        missing: &'static str,
    },
    /// A role without tokens to open its sessions with, or the reverse.
    #[error("{of}: {problem}")]
    HalfWebIdentity {
        /// The source.
        of: String,
        /// What is missing.
        problem: &'static str,
    },
    /// A named profile is not in the configuration file.
    #[error("there is no profile `{name}` in `{}`", .path.display())]
    NoSuchProfile {
        /// The name.
        name: String,
        /// The configuration file.
        path: PathBuf,
    },
    /// The endpoint is not a URL.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A file cannot be read, written or understood.
    #[error("`{}`: {problem}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl SettingsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoEndpoint => Some(
                "start a server here with `hythe serve`, run `hythe configure`, set HYTHE_CREDENTIALS_FILE to a server's \
                 `hythe-data/credentials`, or HYTHE_ENDPOINT with HYTHE_ACCESS_KEY_ID and HYTHE_SECRET_ACCESS_KEY (or HYTHE_TOKEN); \
                 credentials in the environment need HYTHE_ENDPOINT beside them, `hythe-data` or not",
            ),
            Self::NoCredentials(_) => Some(
                "set HYTHE_ACCESS_KEY_ID and HYTHE_SECRET_ACCESS_KEY, or HYTHE_TOKEN, or name a profile that has credentials",
            ),
            Self::HalfAccessKey { .. } => Some("an access key needs both its id and its secret"),
            Self::HalfWebIdentity { .. } => Some(
                "give both HYTHE_ROLE_ARN and HYTHE_WEB_IDENTITY_TOKEN_FILE, or run `hythe login` with `--role-arn` and \
                 `--web-identity-token-file` or `--oidc-issuer`",
            ),
            Self::NoSuchProfile { .. } => Some("run `hythe configure --profile NAME` to make it"),
            Self::Endpoint(_) => Some("an endpoint looks like `https://hythe.example.com:8080`"),
            Self::File { .. } => None,
        }
    }
}

impl Settings {
    /// Finds the settings. Each of them is taken from the first of these that has it:
    ///
    /// 1. `arguments`;
    /// 2. the profile that `arguments` name;
    /// 3. the environment: `HYTHE_ENDPOINT`, `HYTHE_TOKEN`, `HYTHE_ACCESS_KEY_ID` with `HYTHE_SECRET_ACCESS_KEY`,
    ///    `HYTHE_ROLE_ARN` with `HYTHE_WEB_IDENTITY_TOKEN_FILE`, `HYTHE_CA_BUNDLE`;
    /// 4. the credentials file of a server, if `HYTHE_CREDENTIALS_FILE` names one;
    /// 5. the profile that `HYTHE_PROFILE` or the configuration file's `default_profile` names, or `default`;
    /// 6. `hythe-data/credentials` in the working folder.
    ///
    /// A profile that nobody named counts only for its own endpoint, and so does the last one, which moreover counts only as a
    /// whole: a folder that one happens to be in must neither receive credentials that are meant for another server, nor give its
    /// own to one.
    pub fn resolve(environment: &Environment, arguments: &Arguments) -> Result<Self, SettingsError> {
        let named = match &arguments.profile {
            Some(name) => Some((name.clone(), named_profile(environment, name)?)),
            None => None,
        };
        let of_arguments = Source {
            what: "arguments".into(),
            kind: SettingsSource::Arguments,
            profile: Profile {
                endpoint: arguments.endpoint.clone(),
                access_key_id: arguments.access_key_id.clone(),
                secret_access_key: arguments.secret_access_key.clone(),
                token: arguments.token.clone(),
                role_arn: arguments.role_arn.clone(),
                role_session_name: arguments.role_session_name.clone(),
                web_identity_token_file: arguments.web_identity_token_file.clone(),
                ca_bundle: arguments.ca_bundle.clone(),
                insecure: arguments.insecure,
                ..Profile::default()
            },
        };
        let mut sources = vec![of_arguments];
        sources.extend(named.map(|(name, profile)| Source::of_profile(name, profile)));
        sources.push(Source {
            what: "environment".into(),
            kind: SettingsSource::Environment,
            profile: Profile {
                endpoint: environment.get("HYTHE_ENDPOINT"),
                access_key_id: environment.get("HYTHE_ACCESS_KEY_ID"),
                secret_access_key: environment.get("HYTHE_SECRET_ACCESS_KEY").map(Secret::new),
                token: environment.get("HYTHE_TOKEN").map(Secret::new),
                role_arn: environment.get("HYTHE_ROLE_ARN"),
                role_session_name: environment.get("HYTHE_ROLE_SESSION_NAME"),
                web_identity_token_file: environment
                    .get("HYTHE_WEB_IDENTITY_TOKEN_FILE")
                    .map(|path| environment.folder().join(path)),
                ca_bundle: environment
                    .get("HYTHE_CA_BUNDLE")
                    .map(|path| environment.folder().join(path)),
                ..Profile::default()
            },
        });
        if arguments.profile.is_none() {
            sources.extend(named_credentials_file(environment)?);
            let endpoint = asked_endpoint(&sources);
            let implied = implied_profile(environment, endpoint.as_deref())?;
            sources.extend(implied.map(|(name, profile)| Source::of_profile(name, profile)));
        }
        add_local_server(environment, &mut sources)?;
        let folder = environment.cache_folder();
        combine(&sources, folder.as_deref(), arguments.request_timeout)
    }
}

struct Source {
    what: String,
    kind: SettingsSource,
    profile: Profile,
}

impl Source {
    fn of_profile(name: String, profile: Profile) -> Self {
        Self {
            what: format!("profile `{name}`"),
            kind: SettingsSource::Profile(name),
            profile,
        }
    }

    fn of_credentials_file(path: PathBuf, profile: Profile) -> Self {
        Self {
            what: format!("`{}`", path.display()),
            kind: SettingsSource::LocalServer(path),
            profile,
        }
    }

    /// What it has to log in with. `folder` is where logins at identity providers keep their tokens.
    fn credentials(&self, folder: Option<&Path>) -> Result<Option<Credentials>, SettingsError> {
        let Profile {
            token,
            access_key_id,
            secret_access_key,
            ..
        } = &self.profile;
        let fixed = credentials(
            &self.what,
            token.as_ref(),
            access_key_id.as_deref(),
            secret_access_key.as_ref(),
        )?;
        match fixed {
            Some(fixed) => Ok(Some(fixed)),
            None => self.web_identity(folder),
        }
    }

    fn web_identity(&self, folder: Option<&Path>) -> Result<Option<Credentials>, SettingsError> {
        let profile = &self.profile;
        let source = match (
            &profile.web_identity_token_file,
            &profile.oidc_issuer,
            &profile.oidc_client_id,
            folder,
        ) {
            (Some(file), ..) => Some(TokenSource::File(file.clone())),
            (None, Some(issuer), Some(id), Some(folder)) => {
                Some(TokenSource::Login(OidcLogin::new(issuer.clone(), id.clone(), folder)))
            }
            (None, ..) => None,
        };
        let half = |problem| SettingsError::HalfWebIdentity {
            of: self.what.clone(),
            problem,
        };
        match (&profile.role_arn, source) {
            (None, None) => Ok(None),
            (Some(role), Some(source)) => {
                let identity = WebIdentity::new(role.clone(), profile.role_session_name.clone(), source);
                Ok(Some(Credentials::WebIdentity(Box::new(identity))))
            }
            (Some(_), None) => Err(half(
                "there is a role, and no token of an identity provider to take it on with",
            )),
            (None, Some(_)) => Err(half(
                "there is a token of an identity provider, and no role to take on with it",
            )),
        }
    }
}

fn named_profile(environment: &Environment, name: &str) -> Result<Profile, SettingsError> {
    let path = environment.config_file().ok_or(SettingsError::NoEndpoint)?;
    let profile = ConfigFile::load(&path)?.profile(name, &path)?;
    profile.ok_or_else(|| SettingsError::NoSuchProfile {
        name: name.into(),
        path,
    })
}

fn named_credentials_file(environment: &Environment) -> Result<Option<Source>, SettingsError> {
    let Some(path) = environment.get("HYTHE_CREDENTIALS_FILE") else {
        return Ok(None);
    };
    let path = environment.folder().join(path);
    match Profile::from_credentials_file(&path)? {
        Some(profile) => Ok(Some(Source::of_credentials_file(path, profile))),
        None => Err(SettingsError::File {
            path,
            problem: "no such file".into(),
        }),
    }
}

fn asked_endpoint(sources: &[Source]) -> Option<String> {
    sources.iter().find_map(|source| source.profile.endpoint.clone())
}

/// Whether settings of a server at `own` may be used for `asked`, the endpoint that was chosen elsewhere.
fn is_for(own: Option<&str>, asked: Option<&str>) -> bool {
    match (own, asked) {
        (_, None) => true,
        (Some(own), Some(asked)) => own.trim_end_matches('/') == asked.trim_end_matches('/'),
        (None, Some(_)) => false,
    }
}

fn implied_profile(
    environment: &Environment,
    endpoint: Option<&str>,
) -> Result<Option<(String, Profile)>, SettingsError> {
    let asked = environment.get("HYTHE_PROFILE");
    let Some(path) = environment.config_file() else {
        return Ok(None);
    };
    let file = ConfigFile::load(&path)?;
    let name = asked.clone().or_else(|| file.default_profile.clone());
    let must_exist = name.is_some();
    let name = name.unwrap_or_else(|| DEFAULT_PROFILE.into());
    match file.profile(&name, &path)? {
        Some(profile) if asked.is_some() || is_for(profile.endpoint.as_deref(), endpoint) => Ok(Some((name, profile))),
        None if must_exist => Err(SettingsError::NoSuchProfile { name, path }),
        Some(_) | None => Ok(None),
    }
}

fn add_local_server(environment: &Environment, sources: &mut Vec<Source>) -> Result<(), SettingsError> {
    let endpoint = asked_endpoint(sources);
    let folder = environment.cache_folder();
    let has_credentials = sources.iter().try_fold(false, |has, source| {
        Ok::<_, SettingsError>(has || source.credentials(folder.as_deref())?.is_some())
    })?;
    if has_credentials {
        return Ok(());
    }
    let path = environment.local_credentials_file();
    let Some(profile) = Profile::from_credentials_file(&path)? else {
        return Ok(());
    };
    if is_for(profile.endpoint.as_deref(), endpoint.as_deref()) {
        sources.push(Source::of_credentials_file(path, profile));
    }
    Ok(())
}

fn combine(
    sources: &[Source],
    folder: Option<&Path>,
    request_timeout: Option<Duration>,
) -> Result<Settings, SettingsError> {
    let endpoint: Endpoint = sources
        .iter()
        .find_map(|source| source.profile.endpoint.as_deref())
        .ok_or(SettingsError::NoEndpoint)?
        .parse()?;
    for source in sources {
        let Some(credentials) = source.credentials(folder)? else {
            continue;
        };
        return Ok(Settings {
            endpoint,
            credentials,
            ca_bundle: sources.iter().find_map(|source| source.profile.ca_bundle.clone()),
            insecure: sources.iter().any(|source| source.profile.insecure),
            registry: sources.iter().find_map(|source| source.profile.registry.clone()),
            request_timeout: request_timeout.unwrap_or(DEFAULT_REQUEST_TIMEOUT),
            source: source.kind.clone(),
        });
    }
    Err(SettingsError::NoCredentials(endpoint.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [profiles.default]
        endpoint = "http://default:1"
        access_key_id = "DEFAULT"
        secret_access_key = "s"

        [profiles.prod]
        endpoint = "https://prod:1/"
        access_key_id = "PROD"
        secret_access_key = "s"
        ca_bundle = "ca.pem"

        [profiles.bare]
        endpoint = "http://bare:1"

        [profiles.half]
        endpoint = "http://half:1"
        access_key_id = "HALF"

        [profiles.role]
        endpoint = "http://role:1"
        role_arn = "r"
        role_session_name = "ci"
        web_identity_token_file = "tokens/t"

        [profiles.login]
        endpoint = "http://login:1"
        role_arn = "r"
        oidc_issuer = "https://id.example"
        oidc_client_id = "hythe"

        [profiles.file]
        credentials_file = "other"
    "#;
    const LOCAL: &str = "endpoint = \"http://local:1\"\nregistry = \"local:5000\"\naccess_key_id = \"LOCAL\"\nsecret_access_key = \"s\"\n";

    /// A folder with a configuration file and perhaps a server's credentials.
    fn folder(config: &str, has_local_server: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        std::fs::write(folder.path().join("other"), LOCAL).unwrap();
        if has_local_server {
            std::fs::create_dir(folder.path().join("hythe-data")).unwrap();
            std::fs::write(folder.path().join("hythe-data/credentials"), LOCAL).unwrap();
        }
        folder
    }

    fn resolved(folder: &tempfile::TempDir, variables: &[(String, String)], arguments: &Arguments) -> String {
        let config = folder.path().join("config.toml");
        let mut all = vec![
            ("HYTHE_CONFIG_FILE".to_owned(), config.to_str().unwrap().to_owned()),
            ("HOME".to_owned(), folder.path().to_str().unwrap().to_owned()),
        ];
        all.extend_from_slice(variables);
        let environment = Environment::new(all, folder.path().into());
        match Settings::resolve(&environment, arguments) {
            Ok(settings) => format!("{} {}", settings.endpoint, settings.credentials.label()),
            Err(error) => error.to_string(),
        }
        .replace(folder.path().to_str().unwrap(), "")
    }

    /// What it shows | files that are there | variables | arguments | settings.
    /// `KEY` stands for both variables of an access key `ENV`, and `ENDPOINT` for the endpoint `http://env:1`.
    const CASES: &str = "
        nothing at all                           |               |                                  |              | no Hythe server is configured
        a server in this folder                  | local         |                                  |              | http://local:1 LOCAL
        a profile before the server here         | default local |                                  |              | http://default:1 DEFAULT
        the environment before a profile         | default local | ENDPOINT KEY                     |              | http://env:1 ENV
        a key for the endpoint of a profile      | default       | KEY                              |              | http://default:1 ENV
        a role with its tokens                   | default       | HYTHE_ROLE_ARN=r HYTHE_WEB_IDENTITY_TOKEN_FILE=/t |     | http://default:1 r as hythe by /t
        a key before a role                      | default       | KEY HYTHE_ROLE_ARN=r HYTHE_WEB_IDENTITY_TOKEN_FILE=t |  | http://default:1 ENV
        a role of a profile                      | default       | HYTHE_PROFILE=role               |              | http://role:1 r as ci by /tokens/t
        a login of a profile                     | default       | HYTHE_PROFILE=login              |              | http://login:1 r as hythe by https://id.example
        half a role                              | default       | HYTHE_ROLE_ARN=r                 |              | environment: there is a role, and no token of an identity provider to take it on with
        a token before a key                     | default       | KEY HYTHE_TOKEN=t                |              | http://default:1 a token
        an empty variable is absent              | default       | HYTHE_ENDPOINT=                  |              | http://default:1 DEFAULT
        no unnamed profile's key for an endpoint | default local | ENDPOINT                         |              | no credentials for `http://env:1`
        no key of the environment for a folder   | local         | KEY                              |              | no Hythe server is configured
        the server in this folder, named         | local         | HYTHE_ENDPOINT=http://local:1/   |              | http://local:1 LOCAL
        the default profile, named               | default local | HYTHE_ENDPOINT=http://default:1  |              | http://default:1 DEFAULT
        a profile named by the environment       | default local | HYTHE_PROFILE=prod               |              | https://prod:1 PROD
        with its endpoint replaced               | default local | HYTHE_PROFILE=prod ENDPOINT      |              | http://env:1 PROD
        a named profile that is not there        | default local | HYTHE_PROFILE=x                  |              | there is no profile `x` in `/config.toml`
        a profile by argument                    | default local | ENDPOINT KEY                     | profile=prod | https://prod:1 PROD
        an argument before everything            | default local | ENDPOINT                         | profile=prod endpoint=http://arg:1 | http://arg:1 PROD
        a profile with the environment's key     | default       | KEY                              | profile=bare | http://bare:1 ENV
        a profile without credentials            | default local |                                  | profile=bare | no credentials for `http://bare:1`
        half a key                               | default       |                                  | profile=half | profile `half`: the secret access key is missing
        half a key in the environment            | default       | HYTHE_SECRET_ACCESS_KEY=s        |              | environment: the access key id is missing
        a profile that points to a file          | default       |                                  | profile=file | http://local:1 LOCAL
        a file named by the environment          | default       | HYTHE_CREDENTIALS_FILE=other     |              | http://local:1 LOCAL
        a profile by argument before it          | default       | HYTHE_CREDENTIALS_FILE=other     | profile=prod | https://prod:1 PROD
        a key before it                          | default       | HYTHE_CREDENTIALS_FILE=other KEY |              | http://local:1 ENV
        a named file that is not there           | default       | HYTHE_CREDENTIALS_FILE=x         |              | `/x`: no such file
        an endpoint that is none                 | default       | HYTHE_ENDPOINT=env KEY           |              | `env` is not a valid endpoint: it must be a URL such as `https://hythe.example.com:8080`
    ";

    #[test]
    fn settings_come_from_the_first_source_that_has_them() {
        for case in CASES.trim().lines() {
            let columns: Vec<&str> = case.split('|').map(str::trim).collect();
            let [what, files, variables, arguments, want] = columns[..] else {
                panic!("{case}")
            };
            let expanded = variables
                .split(' ')
                .map(|word| match word {
                    "KEY" => "HYTHE_ACCESS_KEY_ID=ENV HYTHE_SECRET_ACCESS_KEY=s".to_owned(),
                    "ENDPOINT" => "HYTHE_ENDPOINT=http://env:1".to_owned(),
                    other => other.to_owned(),
                })
                .collect::<Vec<_>>()
                .join(" ");
            let pairs = |text: &str| -> Vec<(String, String)> {
                text.split(' ')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(k, v)| (k.into(), v.into()))
                    .collect()
            };
            let mut given = Arguments::default();
            for (name, value) in pairs(arguments) {
                match name.as_str() {
                    "profile" => given.profile = Some(value),
                    "endpoint" => given.endpoint = Some(value),
                    _ => panic!("{case}"),
                }
            }
            let config = if files.contains("default") { CONFIG } else { "" };
            assert_eq!(
                resolved(&folder(config, files.contains("local")), &pairs(&expanded), &given),
                want,
                "{what}"
            );
        }
    }

    #[test]
    fn a_relative_ca_bundle_is_beside_the_configuration() {
        let folder = folder(CONFIG, false);
        let environment = Environment::new(
            [("HYTHE_CONFIG_FILE", folder.path().join("config.toml").to_str().unwrap())],
            "/".into(),
        );
        let arguments = Arguments {
            profile: Some("prod".into()),
            ..Arguments::default()
        };
        let settings = Settings::resolve(&environment, &arguments).unwrap();
        assert_eq!(settings.ca_bundle, Some(folder.path().join("ca.pem")));
    }

    #[test]
    fn a_broken_file_is_reported_without_its_contents() {
        for config in [
            "[profiles.default]\nsecret_access_key = \"hunter2\nendpoint = 1",
            "[profiles.default]\nx = 1\ntoken=\"hunter2\"",
        ] {
            let text = resolved(&folder(config, false), &[], &Arguments::default());
            assert!(
                text.starts_with("`/config.toml`: line 2: ") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_saved_configuration_is_private_and_reads_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.toml");
        let mut config = ConfigFile::default();
        let profile = Profile {
            endpoint: Some("http://a:1".into()),
            token: Some(Secret::new("t")),
            ..Profile::default()
        };
        config.profiles.insert("127.0.0.1:5000".into(), profile);
        config.save(&path).unwrap();
        assert_eq!(ConfigFile::load(&path).unwrap(), config);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
