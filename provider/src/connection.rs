// SPDX-License-Identifier: Apache-2.0
//! The way to the server: one client, and when to ask again.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hythe_client::{Client, ClientError, RetryPolicy, Settings};
use hythe_model::{AccountId, Clock};
use hythe_wire::{CallerIdentity, Registry, Secret};
use tfplugin::{Call, Diagnostic, Result};
use tokio::sync::OnceCell;

use crate::diagnostics;
use crate::tags::TagRules;

/// What resources use to talk to the server. One for each provider block.
pub struct Connection {
    /// Sends each request once; [`Connection::send`] sends it again.
    pub(crate) client: Client,
    retry: RetryPolicy,
    registry_id: Option<AccountId>,
    caller: OnceCell<Result<CallerIdentity, ClientError>>,
    registry: OnceCell<Result<Registry, ClientError>>,
    /// The provider's rules for resource tags.
    pub(crate) tags: TagRules,
    /// The tokens of sessions that are open, by their ids: Terraform is not to keep them, and each is revoked with itself.
    sessions: Mutex<HashMap<String, Secret>>,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Connection {
    /// A connection with these settings. It connects with the first request.
    pub(crate) fn new(
        settings: &Settings,
        max_retries: Option<u32>,
        registry_id: Option<AccountId>,
        tags: TagRules,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let mut retry = RetryPolicy::default();
        if let Some(max_retries) = max_retries {
            retry.attempts = max_retries.saturating_add(1);
        }
        let client = Client::with_retries(settings, RetryPolicy { attempts: 1, ..retry })?;
        Ok(Self {
            client,
            retry,
            registry_id,
            caller: OnceCell::new(),
            registry: OnceCell::new(),
            tags,
            sessions: Mutex::default(),
            clock,
        })
    }

    /// The connection of `cx`, to the registry that the provider block names.
    pub(crate) async fn of(cx: &Call<Self>) -> Result<&Self> {
        let connection: &Self = cx.client()?;
        if let Some(wanted) = &connection.registry_id {
            let account = connection.account(cx).await;
            let account = account.map_err(|error| diagnostics::failed("tell whose credentials these are", error))?;
            if account != wanted {
                let detail = format!(
                    "The provider block names registry `{wanted}`, but the credentials belong to registry `{account}` at \
                     `{}`. Nothing was changed.",
                    connection.client.endpoint(),
                );
                return Err(Diagnostic::error("Credentials of another registry", detail).into());
            }
        }
        Ok(connection)
    }

    /// Keeps the token of a session that was opened.
    pub(crate) fn keep_session(&self, id: &str, token: Secret) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(id.to_owned(), token);
    }

    /// The token of a session that is to be closed.
    pub(crate) fn take_session(&self, id: &str) -> Option<Secret> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(id)
    }

    /// The account of the credentials, which is the id of its registry.
    pub(crate) async fn account<C>(&self, cx: &Call<C>) -> Result<&AccountId, &ClientError> {
        self.caller(cx).await.as_ref().map(|caller| &caller.registry_id)
    }

    /// Whose credentials these are, asked for once. Whoever is logged in may ask for it, unlike for the description of the
    /// registry.
    pub(crate) async fn caller<C>(&self, cx: &Call<C>) -> &Result<CallerIdentity, ClientError> {
        self.caller
            .get_or_init(|| self.send(cx, || self.client.caller_identity()))
            .await
    }

    /// The registry, asked for once.
    pub(crate) async fn registry<C>(&self, cx: &Call<C>) -> &Result<Registry, ClientError> {
        self.registry
            .get_or_init(|| self.send(cx, || self.client.registry()))
            .await
    }

    /// Sends a request that may take effect twice, and again while the server cannot be reached or has no time for it.
    ///
    /// An interrupt ends the pauses, but no request: whatever the server does is heard.
    pub(crate) async fn send<C, T, F>(&self, cx: &Call<C>, request: impl Fn() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.send_while(cx, |_| true, request).await
    }

    /// Sends a request that must not take effect twice: again only if it certainly took none.
    pub(crate) async fn send_once<C, T, F>(&self, cx: &Call<C>, request: impl Fn() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let took_none = |error: &ClientError| !matches!(error, ClientError::Broken { .. });
        self.send_while(cx, took_none, request).await
    }

    async fn send_while<C, T, F>(
        &self,
        cx: &Call<C>,
        may_repeat: impl Fn(&ClientError) -> bool,
        request: impl Fn() -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut failures = 0;
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failures += 1;
            let Some(pause) = self.pause(failures, &error).filter(|_| may_repeat(&error)) else {
                return Err(error);
            };
            tracing::info!(error = %error, pause.ms = pause.as_millis(), "request is sent again");
            if cx.stop().run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Err(error);
            }
        }
    }

    /// Sends a request that only reads: an interrupt ends it.
    pub(crate) async fn ask<C, T, F>(&self, cx: &Call<C>, what: &str, request: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        cx.until_stopped(self.send(cx, request))
            .await?
            .map_err(|error| diagnostics::failed(what, &error))
    }

    /// How long to wait after `failures` attempts; `None` to give up.
    fn pause(&self, failures: u32, error: &ClientError) -> Option<Duration> {
        let asked = match error {
            ClientError::Connect { .. } | ClientError::Broken { .. } => None,
            ClientError::Problem {
                status, retry_after, ..
            } if matches!(status.as_u16(), 429 | 503) => *retry_after,
            // What timed out once has kept the user waiting long enough; the rest would fail again.
            ClientError::Problem { .. }
            | ClientError::Timeout { .. }
            | ClientError::Tls { .. }
            | ClientError::Decode { .. }
            | ClientError::Setup(_) => return None,
        };
        self.retry.pause(failures, asked, jitter())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// A random number from 0 to 1, so that many runs do not come back at the same moment.
fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
