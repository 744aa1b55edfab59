// SPDX-License-Identifier: Apache-2.0
//! The provider block, and what the provider offers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hythe_client::wire::Secret;
use hythe_client::{Arguments, Endpoint, Environment, Settings};
use hythe_model::{AccountId, Clock};
use jiff::Timestamp;
use tfplugin::{Attr, Call, Contents, Diagnostic, Diagnostics, Path, Provider, Result, Schema};

use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::data_sources::{
    CallerIdentity, Image, Images, LifecyclePolicyDocument, PolicyDocument, Registry, Repositories, RepositoryData,
};
use crate::diagnostics;
use crate::ephemeral::{AuthorizationToken, RoleSession, ServiceAccountToken};
use crate::functions::{BuildImageUri, LifecyclePolicyMatches, NormalizePolicy, ParseArn, ParseImageUri};
use crate::noun::{managed, whole};
use crate::resources::{
    AccessKey, Account, Group, GroupMembership, GroupPolicyAttachment, IdentityProvider, LifecyclePolicy, Policy,
    PullThroughCacheRule, PullTimeUpdateExclusion, RegistryPolicy, RegistryPolicyStatement, RegistrySettings,
    ReplicationConfiguration, ReplicationDestination, ReplicationRule, Repository, RepositoryCreationTemplate,
    RepositoryList, RepositoryPolicy, Role, RolePolicyAttachment, User, UserPolicyAttachment, VirtualRepository,
};
use crate::tags::{IgnoreTags, Ignored, TagMap, TagRules, check_tags};

/// The provider's source address, as Terraform writes it in full.
pub const SOURCE: &str = "registry.terraform.io/hythe/hythe";

/// The most times that a request is sent again.
const MAX_RETRIES: u32 = 20;

/// The longest time that one request may take, in seconds.
const MAX_REQUEST_SECONDS: u32 = 3600;

/// The provider.
pub struct HytheProvider {
    environment: Environment,
    clock: Arc<dyn Clock>,
}

impl HytheProvider {
    /// A provider in this environment: where it looks for settings that the provider block does not have.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for HytheProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HytheProvider")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// The time of this machine.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where the provider reads the time"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::MAX)
    }
}

/// Manages the repositories of a Hythe registry and who may do what with them, and hands out credentials for it.
///
/// Every argument is optional. What is not set here comes from a profile, from the environment or from the credentials
/// that `hythe serve` has written into the working folder.
#[derive(Default, Schema)]
pub struct Configuration {
    /// The URL of the control plane, such as `https://hythe.example.com:8080`. Environment: `HYTHE_ENDPOINT`.
    #[tf(optional, validate = parses::<Endpoint>)]
    pub endpoint: Attr<String>,
    /// The registry that the credentials must belong to, as 12 digits. With credentials of another one every operation
    /// is refused.
    #[tf(optional, validate = parses::<AccountId>)]
    pub registry_id: Attr<String>,
    /// The profile of the configuration file to use (`~/.config/hythe/config.toml`, or the file that `HYTHE_CONFIG_FILE`
    /// names). Environment: `HYTHE_PROFILE`.
    #[tf(optional, validate = not_empty)]
    pub profile: Attr<String>,
    /// An authorization token to log in with, in place of an access key. Environment: `HYTHE_TOKEN`.
    #[tf(optional, sensitive, validate = not_empty)]
    pub token: Attr<String>,
    /// The id of the access key to log in with. Environment: `HYTHE_ACCESS_KEY_ID`.
    #[tf(optional, sensitive, validate = not_empty)]
    pub username: Attr<String>,
    /// The secret of the access key. Environment: `HYTHE_SECRET_ACCESS_KEY`.
    #[tf(optional, sensitive, validate = not_empty)]
    pub password: Attr<String>,
    /// A PEM file with certificate authorities to trust beside the system's. Environment: `HYTHE_CA_BUNDLE`.
    #[tf(optional, validate = not_empty)]
    pub ca_bundle: Attr<String>,
    /// Whether to accept any certificate (default `false`). Somebody between here and the server can then read and
    /// change everything, credentials included.
    #[tf(optional)]
    pub insecure: Attr<bool>,
    /// Resource tags for every repository. A tag of the same key in a resource takes precedence; null leaves a tag out.
    #[tf(optional)]
    pub default_tags: Attr<TagMap>,
    /// Resource tags that other tools own: they are not shown, and not removed.
    #[tf(optional)]
    pub ignore_tags: Attr<IgnoreTags>,
    /// How many times a request is sent again when the server cannot be reached or answers 429 or 503: 0 to 20
    /// (default 3).
    #[tf(optional, validate = at_most_twenty)]
    pub max_retries: Attr<u32>,
    /// How long one request may take, in seconds: 1 to 3600 (default 60).
    #[tf(optional, validate = at_most_an_hour)]
    pub request_timeout: Attr<u32>,
}

impl Configuration {
    /// Whether an argument that the client needs is unknown. Default tags are none: without them, plans say less.
    fn is_unsettled(&self) -> bool {
        let texts = [
            &self.endpoint,
            &self.registry_id,
            &self.profile,
            &self.token,
            &self.username,
            &self.password,
            &self.ca_bundle,
        ];
        texts.into_iter().any(Attr::is_unknown)
            || self.insecure.is_unknown()
            || self.max_retries.is_unknown()
            || self.request_timeout.is_unknown()
    }
}

impl Provider for HytheProvider {
    const NAME: &'static str = "hythe";
    type Config = Configuration;
    type Client = Connection;

    fn contents(&self) -> Contents<Connection> {
        let nouns = [
            whole::<RepositoryPolicy>,
            whole::<RepositoryCreationTemplate>,
            whole::<VirtualRepository>,
            whole::<PullThroughCacheRule>,
            whole::<RegistryPolicy>,
            managed::<RegistryPolicyStatement>,
            whole::<RegistrySettings>,
            whole::<ReplicationDestination>,
            whole::<ReplicationRule>,
            whole::<ReplicationConfiguration>,
            whole::<LifecyclePolicy>,
            managed::<PullTimeUpdateExclusion>,
            whole::<Account>,
            whole::<User>,
            whole::<AccessKey>,
            whole::<Group>,
            managed::<GroupMembership>,
            whole::<Role>,
            whole::<Policy>,
            managed::<UserPolicyAttachment>,
            managed::<GroupPolicyAttachment>,
            managed::<RolePolicyAttachment>,
            whole::<IdentityProvider>,
        ];
        nouns
            .into_iter()
            .fold(Contents::new(), |contents, add| add(contents))
            .resource::<Repository>()
            .list::<RepositoryList>()
            .data_source::<RepositoryData>()
            .data_source::<Repositories>()
            .data_source::<CallerIdentity>()
            .data_source::<PolicyDocument>()
            .data_source::<LifecyclePolicyDocument>()
            .data_source::<Image>()
            .data_source::<Images>()
            .data_source::<Registry>()
            .ephemeral::<AuthorizationToken>()
            .ephemeral::<RoleSession>()
            .ephemeral::<ServiceAccountToken>()
            .function::<ParseImageUri>()
            .function::<BuildImageUri>()
            .function::<ParseArn>()
            .function::<LifecyclePolicyMatches>()
            .function::<NormalizePolicy>()
    }

    async fn configure(&self, cx: &Call<()>, config: Configuration) -> Result<Option<Connection>> {
        let Some(ignored) = Ignored::of(&config.ignore_tags) else {
            return Ok(None);
        };
        if config.is_unsettled() {
            return Ok(None);
        }
        let registry_id = if config.registry_id.is_null() {
            None
        } else {
            Some(parsed("registry_id", &config.registry_id)?)
        };
        let insecure = config.insecure.unwrap_or_default();
        if insecure {
            let detail = "The server's certificate is not checked: somebody between here and the server can read and change \
                          everything, credentials included. Prefer `ca_bundle`.";
            cx.report(Diagnostic::warning("Connection is not secure", detail).at("insecure"));
        }
        let arguments = Arguments {
            endpoint: config.endpoint.into_known(),
            access_key_id: config.username.into_known(),
            secret_access_key: config.password.into_known().map(Secret::new),
            token: config.token.into_known().map(Secret::new),
            profile: config.profile.into_known(),
            // A role with tokens of an identity provider comes from the environment or a profile.
            role_arn: None,
            role_session_name: None,
            web_identity_token_file: None,
            ca_bundle: config
                .ca_bundle
                .into_known()
                .map(|path| self.environment.folder().join(path)),
            insecure,
            request_timeout: config
                .request_timeout
                .into_known()
                .map(|seconds| Duration::from_secs(seconds.into())),
        };
        let settings =
            Settings::resolve(&self.environment, &arguments).map_err(|error| diagnostics::unusable(&error))?;
        tracing::debug!(endpoint = %settings.endpoint, source = ?settings.source, "settings are resolved");
        let tags = TagRules {
            defaults: config.default_tags,
            ignored,
        };
        let clock = Arc::clone(&self.clock);
        let connection = Connection::new(&settings, config.max_retries.into_known(), registry_id, tags, clock)
            .map_err(|error| diagnostics::failed("set up the connection", &error))?;
        Ok(Some(connection))
    }

    fn validate(&self, config: &Configuration) -> Diagnostics {
        let mut diagnostics = check_tags(&config.default_tags, &Path::new("default_tags"));
        let has_access_key = !config.username.is_null() || !config.password.is_null();
        if has_access_key && !config.token.is_null() {
            diagnostics.push(invalid(
                Path::new("token"),
                "`token` and an access key (`username`, `password`) exclude each other.",
            ));
        }
        for (name, one, other, missing) in [
            ("username", &config.username, &config.password, "password"),
            ("password", &config.password, &config.username, "username"),
        ] {
            if !one.is_null() && other.is_null() {
                diagnostics.push(invalid(
                    Path::new(name),
                    format!("`{name}` needs `{missing}` beside it."),
                ));
            }
        }
        for (keys, member) in config
            .ignore_tags
            .known()
            .into_iter()
            .flat_map(|it| [(&it.keys, "keys"), (&it.key_prefixes, "key_prefixes")])
        {
            if keys.known().is_some_and(|keys: &BTreeSet<String>| keys.contains("")) {
                let path = Path::new("ignore_tags").attribute(member);
                diagnostics.push(invalid(
                    path,
                    "An empty text is no key; an empty prefix would hide every tag.",
                ));
            }
        }
        diagnostics
    }
}

fn not_empty(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("It must not be empty; leave it out instead.")
    } else {
        Ok(())
    }
}

fn at_most_twenty(retries: &u32) -> Result<(), String> {
    if *retries <= MAX_RETRIES {
        Ok(())
    } else {
        Err(format!("It must be 0 to {MAX_RETRIES}."))
    }
}

fn at_most_an_hour(seconds: &u32) -> Result<(), String> {
    if (1..=MAX_REQUEST_SECONDS).contains(seconds) {
        Ok(())
    } else {
        Err(format!("It must be 1 to {MAX_REQUEST_SECONDS} seconds."))
    }
}
