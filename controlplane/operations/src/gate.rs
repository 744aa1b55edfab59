// SPDX-License-Identifier: Apache-2.0
//! The gate: who sends a request, and whether they may.
//!
//! A token is verified without the store: its signature (once), its time, and what is in memory about revocations and
//! leases. Whether the access key behind it and the user still exist is asked of the store, with answers
//! that are forgotten when this node changes them and after a second otherwise, so that a right that was taken away
//! stops at once here and within a second elsewhere.

mod bootstrap;
mod candidate;
mod fresh;
mod keys;
mod revocations;
mod token;
mod verified;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_lc_rs::{constant_time, hmac};
use hythe_access::{
    Action, AuthenticationError, Caller, Credentials, Decision, Gate, GateError, IssueError, IssuedToken, Lineage,
    Principal, RequestContext, Resource, Secret, TokenScope, UserName,
};
use hythe_meta::{AccessKeyRecord, Auditor, PolicyRef, Store, StoreError};
use hythe_model::{AccountId, Clock, Region, RepositoryArn};
use hythe_rules::{ConditionContext, ManagedPolicy, NamedPolicy, Policies, Request, Requester, is_allowed_by_managed};
use jiff::{SignedDuration, Timestamp};

pub use self::bootstrap::{BootstrapError, NewCredentials, bootstrap, create_administrator_key};
pub(crate) use self::candidate::Candidate;
pub use self::keys::{CryptoError, MasterKey};
pub(crate) use self::keys::{new_access_key_id, new_secret, random_account_id};
pub(crate) use self::token::TokenId;

use self::fresh::Fresh;
use self::keys::{ACCESS_KEY_ID_CHARS, ACCESS_KEY_PREFIX, Keys};
use self::revocations::Revocations;
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
    keys: Keys,
    revocations: Revocations,
    tokens: VerifiedTokens,
    access_keys: Fresh<String, Arc<AccessKeyRecord>>,
    users: Fresh<Principal, Arc<[ManagedPolicy]>>,
    last_used: Mutex<HashMap<String, Timestamp>>,
    last_used_written_at: AtomicI64,
    purged_at: AtomicI64,
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
        Ok(Self {
            store,
            clock,
            region,
            keys: Keys::derive(master)?,
            revocations: Revocations::default(),
            tokens: VerifiedTokens::default(),
            access_keys: Fresh::new(),
            users: Fresh::new(),
            last_used: Mutex::new(HashMap::new()),
            last_used_written_at: AtomicI64::new(0),
            purged_at: AtomicI64::new(0),
        })
    }

    /// Takes over what other nodes have revoked and renewed, and writes down when access keys were last used.
    /// To be called before the first request, and every second from then on.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.revocations.refresh(&self.store, now).await?;
        if is_due(&self.last_used_written_at, now, LAST_USED_INTERVAL_MILLIS) {
            self.write_last_used().await?;
        }
        if is_due(&self.purged_at, now, PURGE_INTERVAL_MILLIS) {
            self.store.purge_revoked_tokens(now).await?;
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

    /// A MAC over `text` for the tokens of pages, so that a client cannot make its own.
    #[must_use]
    pub fn page_mac(&self, text: &[u8]) -> [u8; 16] {
        let mac = hmac::sign(&self.keys.pages, text);
        let mut short = [0; 16];
        short.iter_mut().zip(mac.as_ref()).for_each(|(to, from)| *to = *from);
        short
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

    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// To be called after a write of an access key.
    pub(crate) fn forget_access_keys(&self) {
        self.access_keys.clear();
    }

    /// To be called after a write of a user.
    pub(crate) fn forget_users(&self) {
        self.users.clear();
        self.access_keys.clear();
    }

    /// To be called after a write of a policy.
    pub(crate) fn forget_policies(&self) {
        self.users.clear();
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
        let (account, user) = match &caller.principal {
            Principal::Anonymous => (None, None),
            Principal::Root(account) => (Some(account.clone()), None),
            Principal::User(account, user) => (Some(account.clone()), Some(user.clone())),
            // Sessions of roles have tokens of their own making.
            Principal::Role(_) => return Err(MintError::Crypto(CryptoError)),
        };
        // A limit that is there already adds nothing.
        let new_scope = mint.scope.filter(|scope| !caller.scopes.contains(scope));
        let claims = Claims {
            ids: token_ids.into_iter().chain([id.to_string()]).collect(),
            account,
            user,
            key: caller.lineage.access_key_id.clone(),
            scopes: caller.scopes.iter().cloned().chain(new_scope).collect(),
            iat,
            exp,
        };
        let token = claims.sign(&self.keys).ok_or(MintError::TooLong)?;
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
            .verify(token, &self.keys, now)
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
                Some(key) if !is_key_of(&key, &caller.principal) => return Err(AuthenticationError::Revoked),
                Some(key) if !key.is_active => return Err(AuthenticationError::Inactive),
                Some(_) => {}
            }
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
        self.note_use(id);
        Ok(Caller {
            lineage: Arc::new(Lineage {
                access_key_id: Some(id.to_owned()),
                ..Lineage::default()
            }),
            ..Caller::of(principal_of(&key))
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

    /// The policies of a user; `None` if there is no such user.
    async fn user_policies(
        &self,
        principal: &Principal,
        account: &AccountId,
        name: &UserName,
    ) -> Result<Option<Arc<[ManagedPolicy]>>, StoreError> {
        let now = self.clock.now();
        let generation = match self.users.get(principal, now) {
            Ok(policies) => return Ok(Some(policies)),
            Err(generation) => generation,
        };
        let Some(user) = self.store.user(account, name).await? else {
            return Ok(None);
        };
        // A name that this version does not know gives no rights; all managed policies only allow.
        let policies: Arc<[ManagedPolicy]> = user
            .policies
            .iter()
            .filter_map(|policy| match policy {
                PolicyRef::Managed(policy) => Some(*policy),
                PolicyRef::Customer(_) => None,
            })
            .collect();
        self.users
            .put(generation, principal.clone(), Arc::clone(&policies), now);
        Ok(Some(policies))
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

    async fn decide(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        _: &RequestContext,
    ) -> Result<Decision, GateError> {
        let owner = resource.account();
        let is_in_scope = caller.scopes.iter().all(|scope| scope.allows(action, resource));
        let managed = match &caller.principal {
            Principal::User(account, name) if is_in_scope => self
                .user_policies(&caller.principal, account, name)
                .await
                .map_err(|error| GateError(error.into()))?,
            Principal::Anonymous | Principal::Root(_) | Principal::User(..) | Principal::Role(_) => {
                Some(Arc::default())
            }
        };
        // Most requests end here, without a text having been made.
        if let Some(managed) = &managed
            && is_in_scope
            && is_allowed_by_managed(&caller.principal, action, owner, managed)
        {
            return Ok(Decision::Allowed);
        }

        let arn = match resource {
            Resource::Repository(path) => RepositoryArn {
                region: self.region.clone(),
                repository: path.clone(),
            }
            .to_string(),
            Resource::Registry(_) => "*".to_owned(),
            Resource::Role(role) => role.to_string(),
        };
        let context = ConditionContext::default();
        let request = Request {
            requester: Requester::Principal(&caller.principal),
            action,
            resource: &arn,
            owner,
            context: &context,
        };
        if !is_in_scope {
            let because = format!("because no session policy allows the {action} action");
            return Ok(Decision::Denied(request.denial(&because).into()));
        }
        let Some(managed) = managed else {
            let reason = request.denial("because the user does not exist");
            return Ok(Decision::Denied(reason.into()));
        };
        let identity: Vec<NamedPolicy> = managed.iter().map(|name| name.named().clone()).collect();
        let policies = Policies {
            identity: &identity,
            ..Policies::default()
        };
        Ok(match hythe_rules::decide(&request, &policies).denial(&request) {
            None => Decision::Allowed,
            Some(reason) => Decision::Denied(reason.into()),
        })
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

fn principal_of(key: &AccessKeyRecord) -> Principal {
    match &key.user {
        None => Principal::Root(key.account.clone()),
        Some(user) => Principal::User(key.account.clone(), user.clone()),
    }
}

fn is_key_of(key: &AccessKeyRecord, principal: &Principal) -> bool {
    match (principal, &key.user) {
        (Principal::Root(account), None) => *account == key.account,
        (Principal::User(account, name), Some(user)) => *account == key.account && name == user,
        (Principal::Anonymous | Principal::Root(_) | Principal::User(..) | Principal::Role(_), _) => false,
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
