// SPDX-License-Identifier: Apache-2.0
//! The gate: who sends a request, and whether they may.
//!
//! A token is verified without the store: its signature (once), its time, and what is in memory about revocations and
//! leases. Whether the access key behind it still exists, who the principal is and what policies say is asked of the
//! store, with answers that are forgotten when this node changes them and after a second otherwise, so that a right that was taken away
//! stops at once here and within a second elsewhere.

mod accounts;
mod bootstrap;
mod candidate;
mod fresh;
mod keys;
mod policy_set;
mod rates;
mod revocations;
mod session;
mod signing;
mod throttle;
mod token;
mod verified;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_lc_rs::{constant_time, hmac};
use hythe_access::{
    Action, AuthenticationError, Caller, Credentials, Decision, Denial, Gate, GateError, Grounds, IssueError,
    IssuedToken, Lineage, Principal, RequestContext, Resource, RolePath, Secret, Throttled, TokenScope,
};
use hythe_meta::{AccessKeyRecord, Auditor, Store, StoreError};
use hythe_model::{AccountId, Clock, Region, RepositoryPath, millis};
use hythe_rules::{ConditionContext, Policies, Policy, PolicyKind, Request, Requester};
use jiff::{SignedDuration, Timestamp};

pub use self::bootstrap::{BootstrapError, NewCredentials, bootstrap, create_administrator_key};
pub(crate) use self::candidate::Candidate;
pub(crate) use self::fresh::Fresh;
pub use self::keys::{CryptoError, MasterKey};
pub(crate) use self::keys::{new_access_key_id, new_secret, random_account_id};
pub(crate) use self::policy_set::PolicySet;
pub use self::session::{MAX_SESSION_ATTRIBUTE_BYTES, MAX_SESSION_POLICY_BYTES, NewRoleSession, OpenSessionError};
pub(crate) use self::signing::SigningKey;
pub use self::signing::{MAX_SIGNING_KEYS, RotateSigningKeyError};
pub(crate) use self::token::TokenId;

pub use self::rates::{RateClass, RateLimits};
pub use self::throttle::LoginLimits;

use self::keys::{ACCESS_KEY_ID_CHARS, ACCESS_KEY_PREFIX, Keys};
use self::policy_set::{PolicyCache, PrincipalFacts};
use self::rates::Rates;
use self::revocations::Revocations;
use self::signing::SigningKeys;
use self::throttle::{Attempt, LoginThrottle};
use self::token::Claims;
use self::verified::VerifiedTokens;

/// The user that goes with a token as password (ECR, `GetAuthorizationToken`).
const TOKEN_USER: &str = "AWS";
/// The life of a token of the Docker token flow.
const FLOW_TOKEN: SignedDuration = SignedDuration::from_mins(60);
/// The life of such a token for nobody in particular.
const ANONYMOUS_TOKEN: SignedDuration = SignedDuration::from_mins(5);
/// The most tokens in a row of which each was made with the one before.
pub(crate) const MAX_LINEAGE: usize = 8;
/// How often it is written when access keys were last used.
const LAST_USED_INTERVAL_MILLIS: i64 = 60_000;
/// How often rows of tokens that have ended are removed.
const PURGE_INTERVAL_MILLIS: i64 = 3_600_000;
/// The most access keys whose last use waits to be written.
const MAX_LAST_USED: usize = 10_000;

/// Access control over the metadata store.
#[derive(Debug)]
pub struct AccessGate {
    store: Store,
    clock: Arc<dyn Clock>,
    region: Region,
    default_account: AccountId,
    keys: Keys,
    signing: SigningKeys,
    rotation: Option<SignedDuration>,
    revocations: Revocations,
    tokens: VerifiedTokens,
    access_keys: Fresh<String, Arc<AccessKeyRecord>>,
    open_accounts: Fresh<AccountId, ()>,
    policies: PolicyCache,
    logins: LoginThrottle,
    rates: Option<Rates>,
    last_used: Mutex<HashMap<String, Timestamp>>,
    last_used_written_at: AtomicI64,
    purged_at: AtomicI64,
}

/// What was counted of those who fail or ask too often, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbuseCounts {
    /// Logins with credentials that were wrong.
    pub failed_logins: u64,
    /// Logins that were told to wait.
    pub throttled_logins: u64,
    /// Requests that were told to wait, by class.
    pub throttled_requests: Vec<(RateClass, u64)>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MintError {
    #[error("the token would be too long: give it a shorter scope")]
    TooLong,
    #[error("the token was made with a token that was made with a token, and so on: log in with an access key instead")]
    TooDeep,
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// A token to be made.
#[derive(Clone, Debug)]
pub(crate) struct Mint {
    /// A further limit.
    pub(crate) scope: Option<TokenScope>,
    /// Its life, if the caller's own credentials last as long.
    pub(crate) lifetime: SignedDuration,
    /// How long its first lease is, if it shall be renewable.
    pub(crate) lease_seconds: Option<u32>,
    /// What it is made for.
    pub(crate) origin: Origin,
}

/// What a token is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A request to the control plane.
    Api,
    /// The Docker token flow.
    Flow,
}

/// A token that was made.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) id: TokenId,
    pub(crate) token: Secret,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl AccessGate {
    /// A gate over `store` with the keys of the deployment.
    pub fn new(store: Store, clock: Arc<dyn Clock>, master: &MasterKey, region: Region) -> Result<Self, CryptoError> {
        let keys = Keys::derive(master)?;
        Ok(Self {
            policies: PolicyCache::new(store.clone(), region.clone()),
            default_account: AccountId::default(),
            store,
            clock,
            region,
            signing: SigningKeys::first(&keys),
            rotation: None,
            keys,
            revocations: Revocations::default(),
            tokens: VerifiedTokens::default(),
            access_keys: Fresh::new(),
            open_accounts: Fresh::new(),
            logins: LoginThrottle::new(LoginLimits::default()),
            rates: None,
            last_used: Mutex::new(HashMap::new()),
            last_used_written_at: AtomicI64::new(0),
            purged_at: AtomicI64::new(0),
        })
    }

    /// Names the account whose administrator is the deployment's.
    #[must_use]
    pub fn with_default_account(self, account: AccountId) -> Self {
        Self {
            default_account: account,
            ..self
        }
    }

    /// Sets how many logins may fail, and how often principals may ask; without `rates`, as often as they like.
    #[must_use]
    pub fn with_limits(self, logins: LoginLimits, rates: Option<&RateLimits>) -> Self {
        Self {
            logins: LoginThrottle::new(logins),
            rates: rates.map(Rates::new),
            ..self
        }
    }

    /// Lets a new key sign tokens after every `interval`.
    #[must_use]
    pub fn with_key_rotation(self, interval: SignedDuration) -> Self {
        Self {
            rotation: Some(interval),
            ..self
        }
    }

    /// What was counted of those who fail or ask too often.
    #[must_use]
    pub fn abuse_counts(&self) -> AbuseCounts {
        let (failed_logins, throttled_logins) = self.logins.counts();
        AbuseCounts {
            failed_logins,
            throttled_logins,
            throttled_requests: self
                .rates
                .as_ref()
                .map(|rates| rates.refused().to_vec())
                .unwrap_or_default(),
        }
    }

    /// Takes over what other nodes have revoked and renewed and the keys that they have made, and writes down when access keys were last used.
    /// To be called before the first request, and every second from then on.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.signing.refresh(&self.store, &self.keys, now).await?;
        self.revocations.refresh(&self.store, now).await?;
        if self.is_rotation_due(now) {
            match self.rotate_signing_key().await {
                Ok(key) => tracing::info!(signing_key.id = key.id, "made a new key that signs tokens"),
                Err(RotateSigningKeyError::Store(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "cannot make a new key that signs tokens"),
            }
        }
        if is_due(&self.last_used_written_at, now, LAST_USED_INTERVAL_MILLIS) {
            self.write_last_used().await?;
        }
        if is_due(&self.purged_at, now, PURGE_INTERVAL_MILLIS) {
            self.store.purge_revoked_tokens(now).await?;
            self.signing.purge(&self.store, &self.keys, now).await?;
        }
        Ok(())
    }

    /// Writes down when access keys were last used; for a clean end.
    pub async fn write_last_used(&self) -> Result<(), StoreError> {
        let used: Vec<_> = {
            let mut waiting = self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.drain().collect()
        };
        if used.is_empty() {
            Ok(())
        } else {
            self.store.touch_access_keys(&used).await
        }
    }

    /// Encrypts where a page of `list` starts: a client can neither make its own nor read what it was not shown. Nothing,
    /// which opens no page, if the cryptography library fails.
    #[must_use]
    pub fn seal_page(&self, list: &str, key: &[u8]) -> Vec<u8> {
        self.keys.seal_page(list, key).unwrap_or_default()
    }

    /// Where a page of `list` starts; `None` if it was not sealed for it here.
    #[must_use]
    pub fn open_page(&self, list: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.keys.open_page(list, sealed)
    }

    /// What records of the audit log are made and vouched for with.
    #[must_use]
    pub fn auditor(&self) -> Auditor {
        let key = self.keys.audit.clone();
        let sign = move |text: &[u8]| {
            let (mac, mut bytes) = (hmac::sign(&key, text), [0; 32]);
            bytes.iter_mut().zip(mac.as_ref()).for_each(|(to, from)| *to = *from);
            bytes
        };
        Auditor::new(self.region.clone(), Arc::new(sign))
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The keys that sign tokens, oldest first, and which of them does now.
    pub(crate) fn signing_keys(&self) -> (Arc<[Arc<SigningKey>]>, Option<Arc<SigningKey>>) {
        (self.signing.all(), self.signing.current(self.clock.now()))
    }

    /// Makes a new key that signs tokens, in a while.
    pub(crate) async fn rotate_signing_key(&self) -> Result<Arc<SigningKey>, RotateSigningKeyError> {
        self.signing.rotate(&self.store, &self.keys, self.clock.now()).await
    }

    fn is_rotation_due(&self, now: Timestamp) -> bool {
        let newest = self.signing.all().last().map(|key| key.created_at);
        self.rotation
            .zip(newest)
            .is_some_and(|(interval, newest)| now.duration_since(newest) >= interval)
    }

    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// To be called after a write of an access key.
    pub(crate) fn forget_access_keys(&self) {
        self.access_keys.clear();
    }

    /// To be called after a write of an account, a user, a group or a role.
    pub(crate) fn forget_users(&self) {
        self.policies.forget_principals();
        self.open_accounts.clear();
        self.access_keys.clear();
    }

    /// To be called after a write of a policy, and after a repository came, went, or got other tags.
    pub(crate) fn forget_policies(&self) {
        self.policies.forget_policies();
    }

    /// Makes a token for the principal of `caller` with at most its rights, which ends with its credentials.
    pub(crate) fn mint(&self, caller: &Caller, mint: Mint) -> Result<Minted, MintError> {
        let mut token_ids = caller.lineage.token_ids.clone();
        match mint.origin {
            Origin::Api if token_ids.len() + 1 >= MAX_LINEAGE => return Err(MintError::TooDeep),
            // The last of so many is a token of the flow itself, which lives shortly and whose id nobody is told.
            Origin::Flow if token_ids.len() >= MAX_LINEAGE => drop(token_ids.pop()),
            Origin::Api | Origin::Flow => {}
        }
        let iat = self.clock.now().as_second();
        let wanted = iat.saturating_add(mint.lifetime.as_secs());
        let exp = caller
            .lineage
            .expires_at
            .map_or(wanted, |end| wanted.min(end.as_second()));
        let id = TokenId::generate(&self.keys, &caller.principal, exp, mint.lease_seconds)?;
        let (user, role) = match &caller.principal {
            Principal::Anonymous | Principal::Root(_) => (None, None),
            Principal::User(_, user) => (Some(user.clone()), None),
            Principal::Role(session) => (None, Some(session)),
        };
        // A limit that is there already adds nothing.
        let new_scope = mint.scope.filter(|scope| !caller.scopes.contains(scope));
        let claims = Claims {
            ids: token_ids.into_iter().chain([id.to_string()]).collect(),
            account: caller.principal.account().cloned(),
            user,
            role: role.map(|session| session.role.clone()),
            session: role.map(|session| session.session.clone()),
            policy: caller.session_policy.clone(),
            attributes: Arc::clone(&caller.attributes),
            key: caller.lineage.access_key_id.clone(),
            scopes: caller.scopes.iter().cloned().chain(new_scope).collect(),
            iat,
            since: caller
                .lineage
                .issued_at
                .map(Timestamp::as_second)
                .filter(|since| *since != iat),
            role_created: caller.lineage.role_created_at.filter(|_| role.is_some()).map(millis),
            user_created: caller.lineage.user_created_at.map(millis),
            exp,
        };
        let key = self.signing.current(self.clock.now()).ok_or(CryptoError)?;
        let token = claims.sign(&key).ok_or(MintError::TooLong)?;
        Ok(Minted {
            id,
            token,
            issued_at: seconds(iat),
            expires_at: seconds(exp),
        })
    }

    async fn by_token(&self, token: &Secret) -> Result<Caller, AuthenticationError> {
        let now = self.clock.now();
        let verified = self
            .tokens
            .verify(token, &self.signing, now)
            .ok_or(AuthenticationError::Rejected)?;
        if now >= verified.expires_at {
            return Err(AuthenticationError::Expired);
        }
        let caller = &verified.caller;
        if self.revocations.is_any_revoked(&caller.lineage.token_ids) {
            return Err(AuthenticationError::Revoked);
        }
        for id in &verified.leased {
            if !self.has_lease(id, now).await? {
                return Err(AuthenticationError::Expired);
            }
        }
        if let Some(id) = &caller.lineage.access_key_id {
            match self.access_key(id).await? {
                None => return Err(AuthenticationError::Revoked),
                Some(key) if !is_of_another(caller) && !is_key_of(&key, &caller.principal) => {
                    return Err(AuthenticationError::Revoked);
                }
                Some(key) if !key.is_active => return Err(AuthenticationError::Inactive),
                // What somebody else made ends with whoever did.
                Some(key) if is_of_another(caller) => {
                    self.require_active(&principal_of(&key), now).await?;
                }
                Some(_) => {}
            }
        }
        let facts = self.require_active(&caller.principal, now).await?;
        // A role, or a user, that was deleted and created anew is another one, whose name alone is the same.
        let created_at = match &caller.principal {
            Principal::Role(_) => caller.lineage.role_created_at,
            _ => caller.lineage.user_created_at,
        };
        let is_another = |facts: &PrincipalFacts| created_at != Some(facts.created_at());
        if is_of_another(caller) && facts.is_some_and(|facts| is_another(&facts)) {
            return Err(AuthenticationError::Revoked);
        }
        Ok(caller.clone())
    }

    async fn by_access_key(&self, id: &str, secret: &Secret) -> Result<Caller, AuthenticationError> {
        if id.len() != ACCESS_KEY_ID_CHARS || !id.starts_with(ACCESS_KEY_PREFIX) {
            return Err(AuthenticationError::Rejected);
        }
        let key = self.access_key(id).await?.ok_or(AuthenticationError::Rejected)?;
        // Unsealing takes about as long as a MAC over the presented secret would, so its result is not kept.
        let expected = self
            .keys
            .unseal(id, &key.sealed_secret)
            .ok_or(AuthenticationError::Rejected)?;
        constant_time::verify_slices_are_equal(&expected, secret.expose().as_bytes())
            .map_err(|_| AuthenticationError::Rejected)?;
        if !key.is_active {
            return Err(AuthenticationError::Inactive);
        }
        let principal = principal_of(&key);
        self.require_active(&principal, self.clock.now()).await?;
        self.note_use(id);
        Ok(Caller {
            lineage: Arc::new(Lineage {
                access_key_id: Some(id.to_owned()),
                ..Lineage::default()
            }),
            ..Caller::of(principal)
        })
    }

    /// Whether the lease of a renewable token runs. A lease that this node does not know, or that has ended as far as it
    /// knows, may have been made or renewed by another since the last refresh: that costs one look-up.
    async fn has_lease(&self, id: &str, now: Timestamp) -> Result<bool, AuthenticationError> {
        if self.revocations.lease(id).is_some_and(|until| now < until) {
            return Ok(true);
        }
        match self.store.lease(id).await.map_err(unavailable)? {
            Some(until) if now < until => {
                self.revocations.set_lease(id, until);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn access_key(&self, id: &str) -> Result<Option<Arc<AccessKeyRecord>>, AuthenticationError> {
        let now = self.clock.now();
        let generation = match self.access_keys.get(id, now) {
            Ok(key) => return Ok(Some(key)),
            Err(generation) => generation,
        };
        let key = self.store.access_key(id).await.map_err(unavailable)?.map(Arc::new);
        if let Some(key) = &key {
            self.access_keys.put(generation, id.to_owned(), Arc::clone(key), now);
        }
        Ok(key)
    }

    /// Whether nobody has closed the account, disabled the principal, or set it an end that has passed. One that does not
    /// exist is told apart where its rights are looked for.
    async fn require_active(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Option<Arc<PrincipalFacts>>, AuthenticationError> {
        match self.policies.principal(principal, now).await.map_err(unavailable)? {
            Some(facts) if !facts.is_active(now) => Err(AuthenticationError::Disabled),
            facts => Ok(facts),
        }
    }

    /// Everything that has a say about what `principal` may do to `resource`. `session`: the text of the policy of its
    /// session.
    pub(crate) async fn policy_set(
        &self,
        principal: &Principal,
        session: Option<&Arc<str>>,
        resource: &Resource,
    ) -> Result<PolicySet, StoreError> {
        self.policies
            .assemble(principal, session, resource, self.clock.now())
            .await
    }

    /// The trust policy of the role, if it trusts somebody with a token of the identity provider with this ARN, whose
    /// claims are among the attributes of `caller`. A role of a closed account trusts nobody.
    pub(crate) async fn trusts_web_identity(
        &self,
        caller: &Caller,
        provider_arn: &str,
        role: &RolePath,
    ) -> Result<Option<Arc<Policy>>, StoreError> {
        let resource = Resource::Role(role.clone());
        let set = match self.policy_set(&Principal::Anonymous, None, &resource).await {
            // A document that this version cannot read trusts nobody.
            Err(StoreError::Corrupt(_)) => return Ok(None),
            set => set?,
        };
        let named = RequestContext::default();
        let context = self.conditions(caller, &named, &set);
        let request = Request {
            requester: Requester::Federated(provider_arn),
            action: Action::AssumeRoleWithWebIdentity,
            resource: set.resource(),
            owner: &role.account,
            context: &context,
        };
        let is_allowed = hythe_rules::decide(&request, &set.policies()).is_allowed();
        Ok(set.trust().filter(|_| is_allowed))
    }

    /// What conditions may ask about a request.
    fn conditions<'a>(
        &'a self,
        caller: &'a Caller,
        named: &'a RequestContext,
        set: &'a PolicySet,
    ) -> ConditionContext<'a> {
        ConditionContext {
            now: Some(self.clock.now()),
            source_ip: caller.source_ip,
            is_secure: Some(caller.is_secure),
            user_agent: caller.user_agent.as_deref(),
            region: Some(self.region.as_str()),
            request: Some(named),
            resource_tags: set.resource_tags(),
            principal_tags: set.principal_tags(),
            token_issued_at: caller.lineage.issued_at,
            attributes: Some(&caller.attributes),
            given: None,
        }
    }

    /// Notes that somebody failed to log in from there with something other than an access key. Who does so too often is told
    /// to wait.
    pub(crate) fn note_failed_login(&self, source: Option<IpAddr>) -> Result<(), Throttled> {
        self.logins.failed(Attempt { source, key: None })
    }

    fn note_use(&self, id: &str) {
        let mut waiting = self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if let Some(last) = waiting.get_mut(id) {
            *last = now;
        } else if waiting.len() < MAX_LAST_USED {
            waiting.insert(id.to_owned(), now);
        }
    }
}

#[async_trait]
impl Gate for AccessGate {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, AuthenticationError> {
        match credentials {
            Credentials::None => Ok(Caller::anonymous()),
            Credentials::Bearer(token) => self.by_token(token).await,
            Credentials::Basic { user, password } if user == TOKEN_USER => self.by_token(password).await,
            Credentials::Basic { user, password } => self.by_access_key(user, password).await,
        }
    }

    async fn authenticate_from(
        &self,
        source: Option<IpAddr>,
        credentials: &Credentials,
    ) -> Result<Caller, AuthenticationError> {
        let key = match credentials {
            Credentials::None => return self.authenticate(credentials).await,
            Credentials::Basic { user, .. } if user != TOKEN_USER => Some(user.as_str()),
            Credentials::Basic { .. } | Credentials::Bearer(_) => None,
        };
        let attempt = Attempt { source, key };
        self.logins.check(attempt)?;
        let outcome = self.authenticate(credentials).await;
        // Whatever else is wrong with credentials, it was no guess.
        if matches!(outcome, Err(AuthenticationError::Rejected)) {
            self.logins.failed(attempt)?;
        }
        outcome
    }

    fn admit(&self, caller: &Caller, action: Action) -> Result<(), Throttled> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.admit(caller, action))
    }

    async fn decide(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        named: &RequestContext,
    ) -> Result<Decision, GateError> {
        let principal = &caller.principal;
        let set = self.policy_set(principal, caller.session_policy.as_ref(), resource);
        let set = set.await.map_err(failed)?;
        let context = self.conditions(caller, named, &set);
        let request = Request {
            requester: set.requester(principal, &self.default_account),
            action,
            resource: set.named(named.about.as_deref()),
            owner: resource.account(),
            context: &context,
        };
        if !caller.scopes.iter().all(|scope| scope.allows(action, resource)) {
            let because = format!("because no session policy allows the {action} action");
            return Ok(Decision::Denied(request.denial(&because).into()));
        }
        match set.principal() {
            // Nobody is somebody only to policies of repositories and registries.
            None if principal.is_anonymous() && !matches!(resource, Resource::Role(_)) => {}
            None => {
                return Ok(Decision::Denied(
                    request.denial("because the principal does not exist").into(),
                ));
            }
            Some(facts) if !facts.is_active(self.clock.now()) => {
                let because = "because the principal or its account is disabled";
                return Ok(Decision::Denied(request.denial(because).into()));
            }
            Some(_) => {}
        }
        let decision = answer(&request, &set);
        // Told to whom policies let in, and to nobody else: others need not know which accounts there are.
        if decision.is_allowed() && !self.is_served(caller, resource.account()).await? {
            let because = format!("because the account {} is closed or does not exist", resource.account());
            return Ok(Decision::Denied(request.denial(&because).into()));
        }
        Ok(decision)
    }

    async fn expect(&self, repositories: &[RepositoryPath]) -> Result<(), GateError> {
        let expected = self.policies.expect(repositories, self.clock.now());
        expected.await.map_err(failed)
    }

    async fn issue(&self, caller: &Caller, scope: TokenScope) -> Result<IssuedToken, IssueError> {
        let lifetime = if caller.principal.is_anonymous() {
            ANONYMOUS_TOKEN
        } else {
            FLOW_TOKEN
        };
        let minted = self
            .mint(
                caller,
                Mint {
                    scope: Some(scope),
                    lifetime,
                    lease_seconds: None,
                    origin: Origin::Flow,
                },
            )
            .map_err(|error| match error {
                MintError::TooLong => IssueError::TooLong,
                error @ (MintError::TooDeep | MintError::Crypto(_)) => GateError(error.into()).into(),
            })?;
        Ok(IssuedToken {
            token: minted.token,
            issued_at: minted.issued_at,
            expires_at: minted.expires_at,
        })
    }
}

/// Decides by everything that has a say.
///
/// Neither a repository's own policy nor its tags must tell that there is a repository: where they lead to a denial of what
/// would be denied without them, the answer is that of a name without a repository.
fn answer(request: &Request<'_>, set: &PolicySet) -> Decision {
    let policies = set.policies();
    let mut decision = hythe_rules::decide(request, &policies);
    let is_telling = policies.repository.is_some() || set.resource_tags().is_some();
    if is_telling && !decision.is_allowed() {
        let unsaid = Policies {
            repository: None,
            ..policies
        };
        let context = ConditionContext {
            resource_tags: None,
            ..*request.context
        };
        let without = hythe_rules::decide(
            &Request {
                context: &context,
                ..*request
            },
            &unsaid,
        );
        if !without.is_allowed() {
            decision = without;
        }
    }
    // Nor must a role's trust policy tell that there is a role, to whom it does not let in.
    if policies.trust.is_some() && !decision.is_allowed() {
        decision = hythe_rules::decide(
            request,
            &Policies {
                trust: None,
                ..policies
            },
        );
    }
    match decision.denial(request) {
        None => Decision::Allowed(grounds(&decision, set)),
        Some(reason) => Decision::Denied(Denial {
            reason,
            is_explicit: matches!(decision, hythe_rules::Decision::ExplicitDeny { .. }),
        }),
    }
}

/// The statement that a yes rests on; `None` for an administrator.
fn grounds(decision: &hythe_rules::Decision<'_>, set: &PolicySet) -> Option<Grounds> {
    let hythe_rules::Decision::Allowed { statement } = decision else {
        return None;
    };
    let statement = (*statement)?;
    let name = set.name_of(statement.policy);
    Some(Grounds {
        kind: match statement.kind {
            PolicyKind::Repository => "repository policy",
            PolicyKind::Registry => "registry policy",
            other => other.as_str(),
        },
        policy: name.or_else(|| (!statement.policy.is_empty()).then(|| statement.policy.into())),
        number: statement.index + 1,
        sid: statement.sid.map(Into::into),
    })
}

fn failed(error: StoreError) -> GateError {
    GateError(error.into())
}

fn principal_of(key: &AccessKeyRecord) -> Principal {
    match &key.user {
        None => Principal::Root(key.account.clone()),
        Some(user) => Principal::User(key.account.clone(), user.clone()),
    }
}

/// Whether the credentials were made by somebody else than the principal: a session of a role, or a token for a user.
fn is_of_another(caller: &Caller) -> bool {
    matches!(caller.principal, Principal::Role(_)) || caller.lineage.user_created_at.is_some()
}

fn is_key_of(key: &AccessKeyRecord, principal: &Principal) -> bool {
    match (principal, &key.user) {
        (Principal::Root(account), None) => *account == key.account,
        (Principal::User(account, name), Some(user)) => *account == key.account && name == user,
        // A role has no keys: the session was opened with that of somebody else.
        (Principal::Role(_), _) => true,
        (Principal::Anonymous | Principal::Root(_) | Principal::User(..), _) => false,
    }
}

fn unavailable(error: StoreError) -> AuthenticationError {
    AuthenticationError::Unavailable(error.into())
}

fn seconds(since_epoch: i64) -> Timestamp {
    Timestamp::from_second(since_epoch).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whether `interval` has passed since `last`; if so, it starts anew.
fn is_due(last: &AtomicI64, now: Timestamp, interval_millis: i64) -> bool {
    let now = now.as_millisecond();
    let before = last.load(Ordering::Relaxed);
    let is_due = now.saturating_sub(before) >= interval_millis;
    is_due
        && last
            .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}
