// SPDX-License-Identifier: Apache-2.0
//! What every handler starts from: the caller, and the parts of the request in their types.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use axum::extract::{ConnectInfo, FromRequestParts, Query, RawPathParams};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, Uri, header};
use hythe_access::{
    Action, ActionKind, Caller, Credentials, Gate as _, Granted, RequestContext, Resource, Secret, authorize_origin,
    authorize_shared,
};
use hythe_model::{
    AccountId, Digest, ParseError, REPLICATION_HEADER, ReplicationPath, RepositoryName, RepositoryPath, Tag,
};
use hythe_operations::{ControlPlane, PolicyRef};
use hythe_wire::{IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY_CHARS, ResourceTag, code};
use serde::de::DeserializeOwned;

use crate::audit::note_parameters;
use crate::audit::user_agent;
use crate::observe::Trail;
use crate::page::PageRequest;
use crate::router::Shared;
use crate::{OperationInfo, Preconditions, Problem};

/// How a request arrived; the server puts it into the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The address of the client.
    pub peer: IpAddr,
    /// Whether it came over TLS.
    pub is_secure: bool,
}

/// A request to one operation, by a caller whose credentials were good (or who brought none).
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) plane: ControlPlane,
    pub(crate) caller: Arc<Caller>,
    info: &'static OperationInfo,
    trail: Trail,
    path: BTreeMap<String, String>,
    /// What the request is about, where its path does not say so.
    about: OnceLock<Arc<str>>,
    /// By which registries the change came, as the request says; believed of those who may replicate to the repository.
    replica: Option<ReplicationPath>,
    uri: Uri,
    headers: HeaderMap,
}

impl FromRequestParts<Shared> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let missing = || Problem::internal(&NotRouted);
        let info = *parts.extensions.get::<&'static OperationInfo>().ok_or_else(missing)?;
        let trail = parts.extensions.get::<Trail>().cloned().ok_or_else(missing)?;
        let connection = parts.extensions.get::<Connection>().copied();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let source = connection
            .map(|connection| connection.peer)
            .or(peer.map(|peer| peer.0.ip()));
        let gate = shared.plane.gate();
        let mut caller = gate.authenticate_from(source, &credentials(&parts.headers)?).await?;
        caller.source_ip = source;
        caller.is_secure = connection.is_some_and(|connection| connection.is_secure);
        caller.user_agent = user_agent(&parts.headers);
        trail.set_caller(&caller);
        let caller = Arc::new(caller);
        hythe_access::Trail::note(|facts| facts.set_caller(&caller));
        gate.admit(&caller, info.access.first_action())?;
        let path = RawPathParams::from_request_parts(parts, shared)
            .await
            .map_err(|_| Problem::invalid("path", "it must be UTF-8, percent-encoded"))?;
        note_parameters(parts, path.iter());
        let context = Self {
            plane: shared.plane.clone(),
            caller,
            info,
            trail,
            path: path
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            about: OnceLock::new(),
            replica: replica(&parts.headers)?,
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
        };
        context.refuse_preconditions()?;
        Ok(context)
    }
}

impl Context {
    /// Asks whether the caller may do `A`.
    pub(crate) async fn authorize<A: ActionKind>(&self, resource: A::Resource) -> Result<Granted<A>, Problem> {
        self.authorize_with(resource, &RequestContext::default()).await
    }

    /// Asks whether the caller may do `A`, in a request that names the tag in its path.
    pub(crate) async fn authorize_tag<A: ActionKind>(&self, resource: A::Resource) -> Result<Granted<A>, Problem> {
        let tag = self.tag().ok();
        let context = tag.map_or_else(RequestContext::default, |tag| {
            RequestContext::of_image_tag(tag.to_string())
        });
        self.authorize_with(resource, &context).await
    }

    /// Asks whether the caller may do `A`, in a request that sets these resource tags.
    pub(crate) async fn authorize_tags<A: ActionKind>(
        &self,
        resource: A::Resource,
        tags: &[ResourceTag],
    ) -> Result<Granted<A>, Problem> {
        let tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
        let context = RequestContext {
            request_tags: tags.collect(),
            ..RequestContext::default()
        };
        self.authorize_with(resource, &context).await
    }

    /// Asks whether the caller may do `A`, in a request that names this.
    pub(crate) async fn authorize_with<A: ActionKind>(
        &self,
        resource: A::Resource,
        context: &RequestContext,
    ) -> Result<Granted<A>, Problem> {
        self.trail.set_resource(match resource.clone().into() {
            Resource::Repository(path) => self.plane.arn(&path).to_string(),
            Resource::Registry(account) => match self.about.get() {
                Some(about) => about.to_string(),
                None => self.account_resource(&account),
            },
            Resource::Role(role) => role.to_string(),
        });
        let about = match resource.clone().into() {
            // Tokens of a user are as much about the user as its keys are.
            Resource::Registry(account)
                if A::ACTION.as_str().starts_with("iam:") || A::ACTION == Action::CreateUserToken =>
            {
                self.about(&account)
            }
            Resource::Registry(_) | Resource::Repository(_) | Resource::Role(_) => None,
        };
        let named;
        let context = if about.is_none() {
            context
        } else {
            named = RequestContext {
                about,
                ..context.clone()
            };
            &named
        };
        let asked: Resource = resource.clone().into();
        let granted = authorize_shared::<A>(&**self.plane.gate(), &self.caller, resource, context).await?;
        if let (Some(replica), Resource::Repository(path)) = (&self.replica, asked) {
            authorize_origin(&**self.plane.gate(), &self.caller, path).await?;
            hythe_access::Trail::note(|facts| facts.replica = Some(replica.clone()));
        }
        Ok(granted)
    }

    /// Says what the request is about, by its ARN, where its path does not: what is to be created. To be called before it
    /// is asked whether the caller may.
    pub(crate) fn concerns(&self, arn: impl Into<Arc<str>>) {
        // Only the first counts, and no handler says it twice.
        let _ = self.about.set(arn.into());
    }

    /// The account that a request without `registryId` is for: the caller's own.
    pub(crate) fn account(&self, registry_id: Option<AccountId>) -> AccountId {
        let own = || {
            self.caller
                .principal
                .account()
                .unwrap_or(&self.plane.settings().default_account)
                .clone()
        };
        registry_id.unwrap_or_else(own)
    }

    /// The account through which the deployment is administered.
    pub(crate) fn default_account(&self) -> AccountId {
        self.plane.settings().default_account.clone()
    }

    /// The repository in the path.
    pub(crate) fn repository(&self, registry_id: Option<AccountId>) -> Result<RepositoryPath, Problem> {
        let name: RepositoryName = self.path("repositoryName")?;
        Ok(RepositoryPath {
            account: self.account(registry_id),
            name,
        })
    }

    /// The digest in the path.
    pub(crate) fn digest(&self) -> Result<Digest, Problem> {
        self.path("imageDigest")
    }

    /// The tag in the path.
    pub(crate) fn tag(&self) -> Result<Tag, Problem> {
        self.path("imageTag")
    }

    /// The policy in the path, by its name or its ARN.
    pub(crate) fn policy(&self, account: &AccountId) -> Result<PolicyRef, Problem> {
        PolicyRef::parse(self.path_text("policyName")?, account).map_err(|error| Problem::invalid("policyName", error))
    }

    /// A parameter of the path, parsed.
    pub(crate) fn path<T: FromStr<Err = ParseError>>(&self, name: &str) -> Result<T, Problem> {
        self.path_text(name)?
            .parse()
            .map_err(|error| Problem::invalid(name, error))
    }

    /// A parameter of the path.
    pub(crate) fn path_text(&self, name: &str) -> Result<&str, Problem> {
        self.path
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Problem::internal(&NotRouted))
    }

    /// The query, parsed. Unknown parameters are refused.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let Query(query) = Query::try_from_uri(&self.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let reason = text
                .rsplit_once("query string: ")
                .map_or(text.as_str(), |(_, reason)| reason);
            Problem::invalid("query", reason)
        })?;
        Ok(query)
    }

    /// The page of a list that is asked for. `filters`: what else decides which entries are in the list.
    pub(crate) fn page(
        &self,
        max_results: Option<u32>,
        next_token: Option<&str>,
        account: &AccountId,
        filters: &[&str],
    ) -> Result<PageRequest, Problem> {
        let mut list = vec![self.info.name, account.as_str()];
        list.extend(self.path.values().map(String::as_str));
        list.extend(filters);
        PageRequest::new(self.plane.gate(), list.join("\n"), max_results, next_token)
    }

    /// The version that `If-Match` names; `None` if the request does not care. An entity tag that is none of ours
    /// matches no version (RFC 9110, section 13.1.1).
    pub(crate) fn if_match(&self) -> Result<Option<i64>, Problem> {
        let Some(text) = self.header(header::IF_MATCH.as_str())? else {
            return Ok(None);
        };
        if text == "*" {
            return Ok(None);
        }
        if text.contains(',') {
            return Err(Problem::invalid("If-Match", "it must be one entity tag, or *"));
        }
        let version = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .and_then(|text| text.parse().ok());
        Ok(Some(version.unwrap_or(NO_VERSION)))
    }

    /// The idempotency key, if the request carries one.
    pub(crate) fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let Some(key) = self.header(IDEMPOTENCY_KEY)? else {
            return Ok(None);
        };
        if (1..=MAX_IDEMPOTENCY_KEY_CHARS).contains(&key.len()) {
            Ok(Some(key))
        } else {
            let reason = format!("it must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} visible ASCII characters");
            Err(Problem::invalid("Idempotency-Key", reason))
        }
    }

    /// For the audit log, where an operation has no repository: what it is about.
    pub(crate) fn note_resource(&self, resource: String) {
        self.trail.set_resource(resource);
    }

    /// What of an account the request is about, to policies: of an access key, its user (IAM, "Resource types").
    fn about(&self, account: &AccountId) -> Option<Arc<str>> {
        const KINDS: [(&str, &str); 5] = [
            ("groupName", "group"),
            ("roleName", "role"),
            ("userName", "user"),
            ("policyName", "policy"),
            ("providerName", "oidc-provider"),
        ];
        self.about.get().cloned().or_else(|| {
            let mut kinds = KINDS.iter();
            let found = kinds.find_map(|(parameter, kind)| Some((kind, self.path.get(*parameter)?)));
            found.map(|(kind, name)| format!("arn:aws:iam::{account}:{kind}/{name}").into())
        })
    }

    fn account_resource(&self, account: &AccountId) -> String {
        // Principals and keys are named in the path; without one, the registry itself is meant.
        let named = |name: &str| self.path.get(name);
        if let Some(group) = named("groupName") {
            return format!("arn:aws:iam::{account}:group/{group}");
        }
        if let Some(role) = named("roleName") {
            return format!("arn:aws:iam::{account}:role/{role}");
        }
        if let (Some(policy), None) = (named("policyName"), named("userName")) {
            return format!("arn:aws:iam::{account}:policy/{policy}");
        }
        match (named("userName"), named("accessKeyId")) {
            (Some(user), None) => format!("arn:aws:iam::{account}:user/{user}"),
            (Some(user), Some(key)) => format!("arn:aws:iam::{account}:user/{user}/{key}"),
            (None, _) => match named("accountId") {
                Some(account) => format!("arn:aws:iam::{account}:root"),
                None => format!("arn:aws:ecr:{}:{account}:registry", self.plane.settings().region),
            },
        }
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        only_header(&self.headers, name)
    }

    /// A precondition that would not be looked at must not be passed over: the client relies on it.
    fn refuse_preconditions(&self) -> Result<(), Problem> {
        if !self.info.is_change {
            return Ok(());
        }
        for (name, taken) in [
            (header::IF_MATCH.as_str(), Preconditions::IfMatch),
            (IDEMPOTENCY_KEY, Preconditions::IdempotencyKey),
        ] {
            if self.headers.contains_key(name) && self.info.preconditions != taken {
                return Err(Problem::invalid(
                    name,
                    format!("{} does not take this header", self.info.name),
                ));
            }
        }
        Ok(())
    }
}

fn only_header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => Err(Problem::invalid(
            name,
            "it must be one header of visible ASCII characters",
        )),
    }
}

/// What the request says about where the change comes from, if another deployment sends it on.
fn replica(headers: &HeaderMap) -> Result<Option<ReplicationPath>, Problem> {
    let path = only_header(headers, REPLICATION_HEADER)?.map(str::parse).transpose();
    path.map_err(|error: ParseError| Problem::invalid("Hythe-Replication", error))
}

/// A version that no resource has.
const NO_VERSION: i64 = -1;

#[derive(Debug)]
struct NotRouted;

impl std::fmt::Display for NotRouted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the handler is not routed through the table of operations")
    }
}

impl std::error::Error for NotRouted {}

/// What `Authorization` brings: `Basic` or `Bearer`.
fn credentials(headers: &HeaderMap) -> Result<Credentials, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(Credentials::None);
    };
    let parse = || {
        let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
        let text = text.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Credentials::Bearer(Secret::new(text)));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Credentials::Basic {
            user: user.to_owned(),
            password: Secret::new(password),
        })
    };
    let found = if values.next().is_none() { parse() } else { None };
    found.ok_or_else(|| {
        let detail = "the Authorization header must be `Bearer <token>` or `Basic <base64 of access key id:secret>`";
        Problem::new(code::UNRECOGNIZED_CLIENT, detail)
    })
}
