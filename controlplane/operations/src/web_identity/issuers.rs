// SPDX-License-Identifier: Apache-2.0
//! The keys of issuers: fetched when they are needed, kept for a while, and used a while longer if the issuer is down.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hythe_meta::IdentityProviderRecord;
use hythe_model::{AccountId, IssuerUrl, ProviderName};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::json::parse_object;
use super::key_set::{KeySet, MAX_JWKS_BYTES};
use super::token::Token;

/// The longest document of an issuer, in bytes.
pub const MAX_ISSUER_DOCUMENT_BYTES: usize = MAX_JWKS_BYTES;
/// How long fetched keys count without being fetched again, in seconds. A key that an issuer takes back is good here for as
/// long.
const FRESH_SECONDS: i64 = 600;
/// How long fetched keys count while the issuer does not answer, in seconds.
const STALE_SECONDS: i64 = 24 * 3600;
/// The shortest time between two attempts to fetch the keys of a provider, in seconds, whatever tokens say.
pub(crate) const REFETCH_SECONDS: i64 = 5;
/// The most providers whose keys are kept.
const MAX_SLOTS: usize = 1000;
/// The most requests that wait for the keys of issuers at once.
const MAX_WAITING: usize = 64;
/// The most of them that wait for one issuer.
const MAX_WAITING_FOR_ONE: usize = 8;

/// Where documents of issuers come from. The URL was named by the administrator of an account, who is not the operator:
/// an implementation must not let it reach what the account has no business with, and never shows its answers to anybody.
#[async_trait]
pub trait IssuerDocuments: Debug + Send + Sync {
    /// Reads the document at `url`, with bounded time, redirects and size ([`MAX_ISSUER_DOCUMENT_BYTES`]).
    async fn fetch(&self, document: &IssuerDocument<'_>) -> Result<Vec<u8>, FetchError>;

    /// Says what is wrong with a bundle of certificate authorities.
    fn check_ca_bundle(&self, pem: &str) -> Result<(), String>;
}

/// A document of an issuer.
#[derive(Clone, Copy, Debug)]
pub struct IssuerDocument<'a> {
    /// Where it is.
    pub url: &'a str,
    /// The certificate authorities to trust, in PEM, in place of the system's.
    pub ca_bundle: Option<&'a str>,
    /// Whether the issuer is the server's own machine; otherwise nothing there may be reached.
    pub is_loopback: bool,
}

/// Why a document was not read; for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Why the keys of a provider are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    /// The issuer does not answer, or not with what is expected.
    #[error("the issuer's keys cannot be fetched")]
    Unreachable,
    /// Too many requests wait for issuers.
    #[error("too many requests wait for issuers")]
    Busy,
}

/// The issuers of no deployment: nothing is fetched.
#[derive(Debug)]
pub(crate) struct NoDocuments;

#[async_trait]
impl IssuerDocuments for NoDocuments {
    async fn fetch(&self, _: &IssuerDocument<'_>) -> Result<Vec<u8>, FetchError> {
        Err(FetchError("this server fetches nothing".into()))
    }

    fn check_ca_bundle(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// The keys of all issuers that are in use.
#[derive(Debug)]
pub(crate) struct Issuers {
    documents: Arc<dyn IssuerDocuments>,
    slots: Mutex<HashMap<(AccountId, ProviderName), Arc<Slot>>>,
    waiting: Semaphore,
}

/// The keys of one provider.
#[derive(Debug)]
struct Slot {
    url: IssuerUrl,
    ca_bundle: Option<String>,
    state: Mutex<State>,
    /// One fetches, the others wait for its result; each wait ends with the bounded fetch.
    flight: tokio::sync::Mutex<()>,
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    attempted_at: Option<Timestamp>,
}

impl Issuers {
    pub(crate) fn new(documents: Arc<dyn IssuerDocuments>) -> Self {
        Self {
            documents,
            slots: Mutex::new(HashMap::new()),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    pub(crate) fn documents(&self) -> &dyn IssuerDocuments {
        &*self.documents
    }

    /// The keys of `provider`, so fresh that the one `token` names is among them if the issuer has it. The token is not
    /// believed yet: it decides no more than whether to look again, and that not often.
    pub(crate) async fn keys(
        &self,
        provider: &IdentityProviderRecord,
        token: &Token<'_>,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, IssuerError> {
        if let Some(given) = &provider.settings.jwks {
            // It was parsed when it was stored.
            return KeySet::parse_given(given)
                .map(Arc::new)
                .map_err(|_| IssuerError::Unreachable);
        }
        let slot = self.slot(provider);
        if let Some(keys) = slot.fresh(token, now) {
            return Ok(keys);
        }
        let _place = self.waiting.try_acquire().map_err(|_| IssuerError::Busy)?;
        let _place = slot.waiting.try_acquire().map_err(|_| IssuerError::Busy)?;
        let _flight = slot.flight.lock().await;
        if let Some(keys) = slot.fresh(token, now) {
            return Ok(keys);
        }
        if !slot.may_attempt(now) {
            return slot.any(now).ok_or(IssuerError::Unreachable);
        }
        match self.fetch(&slot).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                slot.lock().keys = Some((Arc::clone(&keys), now));
                Ok(keys)
            }
            Err(error) => {
                let has_stale = slot.any(now);
                tracing::warn!(
                    identity_provider.arn = %provider.arn(),
                    error = %error,
                    uses_kept_keys = has_stale.is_some(),
                    "the keys of an issuer cannot be fetched"
                );
                has_stale.ok_or(IssuerError::Unreachable)
            }
        }
    }

    /// Finds out where the issuer's keys are, and reads them (`OpenID` Connect Discovery 1.0, section 4).
    async fn fetch(&self, slot: &Slot) -> Result<KeySet, FetchError> {
        let read = async |url: &str| {
            let document = IssuerDocument {
                url,
                ca_bundle: slot.ca_bundle.as_deref(),
                is_loopback: slot.url.is_loopback(),
            };
            let bytes = self.documents.fetch(&document).await?;
            if bytes.len() > MAX_ISSUER_DOCUMENT_BYTES {
                return Err(FetchError("the document is too long".into()));
            }
            Ok(bytes)
        };
        let discovery = parse_object(&read(&slot.url.discovery_url()).await?).map_err(|_| {
            FetchError("the discovery document is not a JSON object, or a member is there twice".into())
        })?;
        let text = |name: &str| discovery.get(name).and_then(Value::as_str);
        if text("issuer") != Some(slot.url.as_str()) {
            return Err(FetchError(format!(
                "the discovery document is of another issuer than `{}`",
                slot.url
            )));
        }
        let keys_at = text("jwks_uri").ok_or_else(|| FetchError("the discovery document has no `jwks_uri`".into()))?;
        let is_possible = keys_at.starts_with("https://") || (!slot.url.is_tls() && keys_at.starts_with("http://"));
        if !is_possible {
            return Err(FetchError("the `jwks_uri` is not https".into()));
        }
        KeySet::parse(&read(keys_at).await?).map_err(|error| FetchError(format!("the key set: {error}")))
    }

    fn slot(&self, provider: &IdentityProviderRecord) -> Arc<Slot> {
        let key = (provider.account.clone(), provider.name());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key)
            && slot.is_of(provider)
        {
            return Arc::clone(slot);
        }
        if slots.len() >= MAX_SLOTS {
            let oldest = slots
                .iter()
                .min_by_key(|(_, slot)| slot.lock().attempted_at)
                .map(|(key, _)| key.clone());
            oldest.and_then(|oldest| slots.remove(&oldest));
        }
        let slot = Arc::new(Slot {
            url: provider.url.clone(),
            ca_bundle: provider.settings.ca_bundle.clone(),
            state: Mutex::default(),
            flight: tokio::sync::Mutex::new(()),
            waiting: Semaphore::new(MAX_WAITING_FOR_ONE),
        });
        slots.insert(key, Arc::clone(&slot));
        slot
    }
}

impl Slot {
    /// Whether it was made for the provider as it is now.
    fn is_of(&self, provider: &IdentityProviderRecord) -> bool {
        self.url == provider.url && self.ca_bundle == provider.settings.ca_bundle
    }

    /// The keys, if they are fresh and the one that `token` names is among them.
    fn fresh(&self, token: &Token<'_>, now: Timestamp) -> Option<Arc<KeySet>> {
        self.younger_than(FRESH_SECONDS, now)
            .filter(|keys| keys.has_key_of(token))
    }

    /// The keys, if they may be used while the issuer does not answer.
    fn any(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        self.younger_than(STALE_SECONDS, now)
    }

    fn younger_than(&self, seconds: i64, now: Timestamp) -> Option<Arc<KeySet>> {
        let state = self.lock();
        let (keys, fetched_at) = state.keys.as_ref()?;
        is_within(*fetched_at, seconds, now).then(|| Arc::clone(keys))
    }

    /// Whether it is time for another attempt, which begins now.
    fn may_attempt(&self, now: Timestamp) -> bool {
        let mut state = self.lock();
        if state
            .attempted_at
            .is_some_and(|last| is_within(last, REFETCH_SECONDS, now))
        {
            return false;
        }
        state.attempted_at = Some(now);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `then` is less than `seconds` ago. A time in the future, after the clock was set back, is not.
fn is_within(then: Timestamp, seconds: i64, now: Timestamp) -> bool {
    (0..seconds).contains(&now.as_second().saturating_sub(then.as_second()))
}
