// SPDX-License-Identifier: Apache-2.0
//! Who sends a request, and whether they may: the way from credentials to a [`Granted`].

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use hythe_access::{
    AccessError, Action, ActionKind, AuthenticationError, Caller, Credentials, GateError, Granted, ReplicaStep,
    RequestContext, Resource, Secret, TokenScope, Trail, authorize, authorize_origin, authorize_replica,
    authorize_shared, kinds,
};
use hythe_model::{REPLICATION_HEADER, RegistryPlace, ReplicationPath, RepositoryPath};
use hythe_upstream::{PULL_PATH_HEADER, PullPath};

use crate::account::{Named, Site};
use crate::audit::user_agent;
use crate::input::InputError;
use crate::oci_error::OciError;
use crate::turns::Tenant;
use crate::{ConnectionInfo, Registry};

/// The sender of a request, where it arrived, and what it is answered from.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) registry: Registry,
    pub(crate) caller: Arc<Caller>,
    pub(crate) site: Site,
    pub(crate) presented: Presented,
    /// Whether the connection lets the kernel send files.
    pub(crate) sends_files: bool,
    /// What a token for this request must be good for besides.
    pub(crate) also: Option<String>,
    /// Of a replica: the registries that it came by.
    pub(crate) replica: Option<ReplicationPath>,
    /// Whether it is only tried what the sender may do: a no is not counted then.
    pub(crate) is_trying: bool,
    /// Whether what is not here may be asked for where the repository comes from.
    pub(crate) asks_upstream: bool,
    /// Of a question of another registry that has images from here: by which repositories it came.
    pub(crate) pull_path: PullPath,
}

/// How credentials were presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    Nothing,
    Basic,
    Bearer,
}

/// One of two permissions.
#[derive(Debug)]
pub(crate) enum Either<A, B> {
    Left(A),
    Right(B),
}

/// Why a request is turned away at the door.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No credentials where some are needed.
    #[error("Not Authorized")]
    Absent(Challenge),
    /// An `Authorization` header that cannot be read.
    #[error("Not Authorized")]
    Malformed(Challenge),
    /// Credentials that show nobody, sent as user and password.
    #[error("{0}")]
    Basic(AuthenticationError, Challenge),
    /// A token that shows nobody, or nobody any more.
    #[error("{0}")]
    Bearer(AuthenticationError, Challenge),
    /// The token was made for less than this; a new one may do.
    #[error("{0}")]
    InsufficientScope(String, Challenge),
    /// The gate said no, or could not say.
    #[error("{0}")]
    Access(Box<AccessError>, Challenge),
}

/// What to log in with, and where (RFC 6750, section 3; the Docker token flow).
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    realm: String,
    service: String,
    scope: Option<String>,
    error: Option<&'static str>,
}

impl fmt::Display for Challenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Bearer realm=\"{}\",service=\"{}\"",
            self.realm, self.service
        )?;
        if let Some(scope) = &self.scope {
            write!(formatter, ",scope=\"{scope}\"")?;
        }
        if let Some(error) = self.error {
            write!(formatter, ",error=\"{error}\"")?;
        }
        Ok(())
    }
}

impl Challenge {
    fn new(registry: &Registry, site: &Site, scope: Option<String>) -> Self {
        let quotable = |text: &str| {
            text.chars()
                .filter(|c| !c.is_control() && !"\"\\".contains(*c))
                .collect()
        };
        let realm = format!("{}/token", site.url);
        Self {
            realm: quotable(&realm),
            service: quotable(&registry.config().service),
            scope,
            error: None,
        }
    }

    fn with_error(self, error: &'static str) -> Self {
        Self {
            error: Some(error),
            ..self
        }
    }
}

impl Visitor {
    /// Finds out who sends a request. A client that is turned away is told to ask a token for `action` on
    /// the repository `name`.
    pub(crate) async fn identify(
        registry: Registry,
        site: Site,
        headers: &HeaderMap,
        name: &str,
        connection: Option<ConnectionInfo>,
        action: Option<Action>,
    ) -> Result<Self, Refusal> {
        let challenge = || {
            // Only names that can be repositories are repeated in a challenge.
            let named = action.zip(site.repository(name).ok());
            let scope = named.map(|(action, named)| scope_of(action, &named.written));
            Challenge::new(&registry, &site, scope)
        };
        let credentials = credentials(headers).ok_or_else(|| Refusal::Malformed(challenge()))?;
        let presented = match &credentials {
            Credentials::None => Presented::Nothing,
            Credentials::Basic { .. } => Presented::Basic,
            Credentials::Bearer(_) => Presented::Bearer,
        };
        let source = connection.map(|connection| connection.peer.ip());
        let mut caller =
            registry
                .gate()
                .authenticate_from(source, &credentials)
                .await
                .map_err(|error| match presented {
                    Presented::Nothing | Presented::Basic => Refusal::Basic(error, challenge()),
                    Presented::Bearer => Refusal::Bearer(error, challenge().with_error("invalid_token")),
                })?;
        caller.source_ip = source;
        caller.is_secure = connection.is_some_and(|connection| connection.is_tls);
        caller.user_agent = user_agent(headers);
        Ok(Self {
            registry,
            caller: Arc::new(caller),
            site,
            presented,
            sends_files: connection.is_some_and(|connection| connection.sends_files),
            also: None,
            replica: None,
            is_trying: false,
            asks_upstream: true,
            pull_path: PullPath::default(),
        })
    }

    /// The same sender, who asks for `repository` and is given what others hold. A token that is good for `actions` on that
    /// name is good for them there; what its owner may do there is asked as ever.
    pub(crate) fn trying_behind(&self, repository: &RepositoryPath, actions: &[Action]) -> Self {
        let resource = Resource::Repository(repository.clone());
        let is_met = |scope: &TokenScope| actions.iter().any(|action| scope.allows(*action, &resource));
        let mut caller = Arc::clone(&self.caller);
        if caller.scopes.iter().any(is_met) {
            let caller = Arc::make_mut(&mut caller);
            Arc::make_mut(&mut caller.scopes).retain(|scope| !is_met(scope));
        }
        Self {
            registry: self.registry.clone(),
            caller,
            site: self.site.clone(),
            presented: self.presented,
            sends_files: self.sends_files,
            also: None,
            replica: None,
            is_trying: true,
            asks_upstream: true,
            pull_path: self.pull_path.clone(),
        }
    }

    /// Asks a sender without credentials for some that are good for `action` on the repository.
    pub(crate) fn ask_to_log_in(&self, action: Action, repository: &Named) -> Refusal {
        Refusal::Absent(self.challenge(Some(&scope_of(action, &repository.written))))
    }

    /// Reads what the request says about a replica, if it is about one. It gives no right, and is believed of whoever may
    /// replicate to the repository.
    pub(crate) fn of_replica(mut self, headers: &HeaderMap) -> Result<Self, InputError> {
        if let Some(value) = headers.get(REPLICATION_HEADER) {
            let text = value.to_str().unwrap_or_default();
            self.replica = Some(text.parse().map_err(InputError::Replica)?);
        }
        Ok(self)
    }

    /// Takes note of what the request says about other registries that asked before, if it is such a question.
    pub(crate) fn of_question(mut self, headers: &HeaderMap) -> Result<Self, InputError> {
        if let Some(value) = headers.get(PULL_PATH_HEADER) {
            let text = value.to_str().unwrap_or_default();
            self.pull_path = text.parse().map_err(InputError::PullPath)?;
        }
        Ok(self)
    }

    /// Refuses what has come by this registry already: it would go round for ever.
    pub(crate) fn check_loop(&self, repository: &RepositoryPath) -> Result<(), InputError> {
        let here = RegistryPlace {
            region: self.registry.config().region.clone(),
            account: repository.account.clone(),
        };
        match &self.replica {
            Some(path) if path.contains(&here) => Err(InputError::ReplicaLoop(here)),
            Some(_) | None => Ok(()),
        }
    }

    /// As [`Self::permit`], of a step that needs another permission if the request is about a replica.
    pub(crate) async fn permit_step<A>(&self, repository: &Named) -> Result<Granted<A>, Refusal>
    where
        A: ReplicaStep + ActionKind<Resource = RepositoryPath>,
    {
        self.permit_step_with(repository, &RequestContext::default()).await
    }

    /// As [`Self::permit_step`], in a request that names this.
    pub(crate) async fn permit_step_with<A>(
        &self,
        repository: &Named,
        context: &RequestContext,
    ) -> Result<Granted<A>, Refusal>
    where
        A: ReplicaStep + ActionKind<Resource = RepositoryPath>,
    {
        let Some(path) = &self.replica else {
            return self.permit_with(repository, context).await;
        };
        Trail::note(|facts| facts.replica = Some(path.clone()));
        authorize_replica::<A>(self.registry.gate(), &self.caller, repository.path.clone(), context)
            .await
            .map_err(|error| self.refuse_action(Action::ReplicateImage, error, repository))
    }

    /// As [`Self::permit_with`], of a deletion. One that was made elsewhere needs the right to replicate as well.
    pub(crate) async fn permit_deletion(
        &self,
        repository: &Named,
        context: &RequestContext,
    ) -> Result<Granted<kinds::BatchDeleteImage>, Refusal> {
        let granted = self.permit_with(repository, context).await?;
        if let Some(path) = &self.replica {
            authorize_origin(self.registry.gate(), &self.caller, repository.path.clone())
                .await
                .map_err(|error| self.refuse_action(Action::ReplicateImage, error, repository))?;
            Trail::note(|facts| facts.replica = Some(path.clone()));
        }
        Ok(granted)
    }

    /// Whose request this is when turns are shared out.
    pub(crate) fn tenant(&self) -> Tenant {
        match self.caller.principal.account() {
            Some(account) => Tenant::Account(account.clone()),
            None => Tenant::anonymous(self.caller.source_ip),
        }
    }

    /// Lets challenges ask for a mount's source as well, so that one token is enough for the mount.
    pub(crate) fn and_mount_from(mut self, written: Option<&str>) -> Self {
        // Only names that can be repositories are repeated in a challenge.
        self.also = written
            .and_then(|written| self.site.repository(written).ok())
            .map(|source| scope_of(Action::GetDownloadUrlForLayer, &source.written));
        self
    }

    /// Lets challenges of a deletion that was made elsewhere ask for both rights that it needs.
    pub(crate) fn and_replicate(mut self, written: &str) -> Self {
        self.also = self
            .replica
            .as_ref()
            .and_then(|_| self.site.repository(written).ok())
            .map(|named| scope_of(Action::ReplicateImage, &named.written));
        self
    }

    /// The repository that the client wrote.
    pub(crate) fn repository(&self, written: &str) -> Result<Named, InputError> {
        self.site.repository(written).map_err(InputError::Name)
    }

    /// Refuses requests without any credentials, unless everybody may know of this registry.
    pub(crate) async fn require_login(&self) -> Result<(), OciError> {
        if self.presented != Presented::Nothing {
            return Ok(());
        }
        let account = self.site.account("");
        match authorize::<kinds::DescribeRegistry>(self.registry.gate(), &self.caller, account).await {
            Ok(_) => Ok(()),
            Err(AccessError::Unauthenticated(_) | AccessError::Denied(_)) => Ok(self.require_credentials(None)?),
            Err(AccessError::Unavailable(error)) => Err(error.into()),
        }
    }

    /// Refuses requests without any credentials.
    pub(crate) fn require_credentials(&self, scope: Option<&str>) -> Result<(), Refusal> {
        match self.presented {
            Presented::Nothing => Err(Refusal::Absent(self.challenge(scope))),
            Presented::Basic | Presented::Bearer => Ok(()),
        }
    }

    /// Asks whether the caller may do `A` on the repository.
    pub(crate) async fn permit<A>(&self, repository: &Named) -> Result<Granted<A>, Refusal>
    where
        A: ActionKind<Resource = RepositoryPath>,
    {
        self.permit_with(repository, &RequestContext::default()).await
    }

    /// Asks whether the caller may do `A` on the repository, in a request that names this.
    pub(crate) async fn permit_with<A>(
        &self,
        repository: &Named,
        context: &RequestContext,
    ) -> Result<Granted<A>, Refusal>
    where
        A: ActionKind<Resource = RepositoryPath>,
    {
        authorize_shared::<A>(self.registry.gate(), &self.caller, repository.path.clone(), context)
            .await
            .map_err(|error| self.refuse::<A>(error, repository))
    }

    /// The same where no is an answer, too: one that cannot be had counts as no.
    pub(crate) async fn may<A>(&self, repository: &Named) -> Option<Granted<A>>
    where
        A: ActionKind<Resource = RepositoryPath>,
    {
        let context = RequestContext::default();
        let asked = authorize_shared::<A>(self.registry.gate(), &self.caller, repository.path.clone(), &context).await;
        asked
            .inspect_err(|error| tracing::debug!(error = %error, action = %A::ACTION, "not permitted"))
            .ok()
    }

    fn refuse<A>(&self, error: AccessError, repository: &Named) -> Refusal
    where
        A: ActionKind<Resource = RepositoryPath>,
    {
        self.refuse_action(A::ACTION, error, repository)
    }

    fn refuse_action(&self, action: Action, error: AccessError, repository: &Named) -> Refusal {
        let challenge = self.challenge(Some(&scope_of(action, &repository.written)));
        match error {
            AccessError::Denied(reason) if self.is_token_too_narrow(action, &repository.path) => {
                // Not counted as denied: it is how clients find out which scope to ask for.
                Refusal::InsufficientScope(reason.reason, challenge.with_error("insufficient_scope"))
            }
            AccessError::Unauthenticated(_) | AccessError::Denied(_) => {
                if !self.is_trying {
                    self.registry.metrics().deny(action);
                }
                Refusal::Access(Box::new(error), challenge)
            }
            AccessError::Unavailable(_) => Refusal::Access(Box::new(error), challenge),
        }
    }

    /// Asks whether the caller may do `A` on the repository, or else `B`, where either is enough. A refusal is that of `A`.
    pub(crate) async fn permit_either<A, B>(
        &self,
        repository: &Named,
    ) -> Result<Either<Granted<A>, Granted<B>>, Refusal>
    where
        A: ActionKind<Resource = RepositoryPath>,
        B: ActionKind<Resource = RepositoryPath>,
    {
        let refusal = match authorize::<A>(self.registry.gate(), &self.caller, repository.path.clone()).await {
            Ok(granted) => return Ok(Either::Left(granted)),
            Err(AccessError::Unavailable(error)) => {
                return Err(self.refuse::<A>(AccessError::Unavailable(error), repository));
            }
            Err(error) => error,
        };
        match authorize::<B>(self.registry.gate(), &self.caller, repository.path.clone()).await {
            Ok(granted) => Ok(Either::Right(granted)),
            Err(AccessError::Unavailable(error)) => Err(self.refuse::<B>(AccessError::Unavailable(error), repository)),
            Err(AccessError::Unauthenticated(_) | AccessError::Denied(_)) => Err(self.refuse::<A>(refusal, repository)),
        }
    }

    /// Whether the caller could read `source` with a token of wider scope: its own rights are enough, and only the
    /// last limit of this token is not.
    pub(crate) async fn may_read_with_wider_token(&self, source: &RepositoryPath) -> Result<bool, GateError> {
        let action = Action::GetDownloadUrlForLayer;
        if !self.is_token_too_narrow(action, source) {
            return Ok(false);
        }
        let mut wider = Caller::clone(&self.caller);
        Arc::make_mut(&mut wider.scopes).pop();
        let decision = self
            .registry
            .gate()
            .decide(&wider, action, &source.clone().into(), &RequestContext::default())
            .await?;
        Ok(decision.is_allowed())
    }

    /// Asks for a token that is good for a push to `target` and a pull from `source`.
    pub(crate) fn ask_for_mount_scope(&self, target: &Named, source: &RepositoryPath) -> Refusal {
        let mut scope = scope_of(Action::CompleteLayerUpload, &target.written);
        if self.also.is_none() {
            scope.push(' ');
            scope.push_str(&scope_of(Action::GetDownloadUrlForLayer, &target.written_like(source)));
        }
        Refusal::InsufficientScope(
            format!("the token is not good for reading `{}`", source.name),
            self.challenge(Some(&scope)).with_error("insufficient_scope"),
        )
    }

    fn challenge(&self, scope: Option<&str>) -> Challenge {
        let scope = scope.map(|scope| match &self.also {
            Some(also) => format!("{scope} {also}"),
            None => scope.to_owned(),
        });
        Challenge::new(&self.registry, &self.site, scope)
    }

    // The last limit is the scope of this token; those before it are of the tokens it was made from, and stay.
    fn is_token_too_narrow(&self, action: Action, repository: &RepositoryPath) -> bool {
        let resource = Resource::Repository(repository.clone());
        self.presented == Presented::Bearer
            && self
                .caller
                .scopes
                .last()
                .is_some_and(|scope| !scope.allows(action, &resource))
    }
}

/// What the Docker token flow calls the rights that an action needs on a repository.
pub(crate) fn scope_of(action: Action, written: &str) -> String {
    let rights = if Action::PULL.contains(&action) || action == Action::ListImages {
        "pull"
    } else if action == Action::BatchDeleteImage {
        "pull,delete"
    } else {
        "pull,push"
    };
    format!("repository:{written}:{rights}")
}

/// Reads `Authorization`; `None` if there is one that cannot be read.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Some(Credentials::None);
    };
    if values.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Bearer") && !rest.is_empty() {
        return Some(Credentials::Bearer(Secret::new(rest)));
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_or_refused() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            match credentials(&headers) {
                None => "malformed".to_owned(),
                Some(Credentials::None) => "none".to_owned(),
                Some(Credentials::Basic { user, password }) => format!("{user}/{}", password.expose()),
                Some(Credentials::Bearer(token)) => format!("bearer {}", token.expose()),
            }
        };
        let cases: [(&[&str], &str); 9] = [
            (&[], "none"),
            (&["Basic QVdTOmE6Yg=="], "AWS/a:b"),
            (&["basic  QVdTOg=="], "AWS/"),
            (&["Bearer abc"], "bearer abc"),
            (&["Bearer "], "malformed"),
            (&["Basic !!!"], "malformed"),
            (&["Basic QVdT"], "malformed"), // no colon
            (&["Digest x"], "malformed"),
            (&["Bearer a", "Bearer b"], "malformed"),
        ];
        for (values, want) in cases {
            assert_eq!(read(values), want, "{values:?}");
        }
    }
}
