// SPDX-License-Identifier: Apache-2.0
//! What provider logic knows about the call that it answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::field::Fields;
use crate::{Diagnostic, Diagnostics, Result, Value};

/// One call from Terraform: the configured client, cancellation, warnings and private data.
#[derive(Debug)]
pub struct Call<C> {
    client: Option<Arc<C>>,
    stop: CancellationToken,
    terraform_version: Arc<str>,
    notes: Mutex<Notes>,
}

/// What the logic leaves behind besides its result.
#[derive(Debug, Default)]
struct Notes {
    diagnostics: Diagnostics,
    recorded: Option<Value>,
    private: Vec<u8>,
}

impl<C> Call<C> {
    pub(crate) fn new(client: Option<Arc<C>>, stop: CancellationToken, terraform_version: Arc<str>) -> Self {
        Self {
            client,
            stop,
            terraform_version,
            notes: Mutex::default(),
        }
    }

    pub(crate) fn with_private(self, private: Vec<u8>) -> Self {
        self.notes().private = private;
        self
    }

    /// The client that `configure` made.
    ///
    /// # Errors
    /// When the provider's configuration is not fully known yet, which happens only during planning, or for a data
    /// source or ephemeral resource whose provider depends on a resource that does not exist yet.
    pub fn client(&self) -> Result<&Arc<C>> {
        self.client.as_ref().ok_or_else(|| {
            Diagnostics::error(
                "Provider is not configured yet",
                "The provider's configuration depends on values that are only known after apply. \
                 Create what it depends on first, for example with `terraform apply -target=…`.",
            )
        })
    }

    /// The client, or none while the provider's configuration is not fully known. For planning, which must work offline.
    #[must_use]
    pub fn client_if_configured(&self) -> Option<&Arc<C>> {
        self.client.as_ref()
    }

    /// Cancelled when the user presses Ctrl-C.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits for `work`, but no longer than until the user presses Ctrl-C.
    ///
    /// # Errors
    /// When the user did; `work` is dropped then.
    pub async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        match self.stop.run_until_cancelled(work).await {
            Some(value) => Ok(value),
            None => Err(Diagnostics::error(
                "Interrupted",
                "The operation was interrupted before it was complete.",
            )),
        }
    }

    /// The version of the Terraform program; empty if it did not say.
    #[must_use]
    pub fn terraform_version(&self) -> &str {
        &self.terraform_version
    }

    /// Adds messages to the answer. Errors make the operation fail, but its result is recorded nevertheless.
    pub fn report(&self, diagnostics: impl Into<Diagnostics>) {
        self.notes().diagnostics.extend(diagnostics);
    }

    /// Warns the user.
    pub fn warn(&self, summary: impl Into<String>, detail: impl Into<String>) {
        self.report(Diagnostic::warning(summary, detail));
    }

    /// Remembers what exists so far. If the operation fails after this, by an error or a panic, this is the state that
    /// is recorded: call it as soon as the object exists.
    pub fn record<R: Fields>(&self, state: &R) {
        self.notes().recorded = Some(Value::Map(state.to_object()));
    }

    /// Bytes that are kept beside the state and not shown: from the last operation on this object.
    #[must_use]
    pub fn private(&self) -> Vec<u8> {
        self.notes().private.clone()
    }

    /// Replaces the private bytes. They are stored unencrypted: fit for etags and hashes, not for secrets.
    pub fn set_private(&self, bytes: impl Into<Vec<u8>>) {
        self.notes().private = bytes.into();
    }

    pub(crate) fn recorded(&self) -> Option<Value> {
        self.notes().recorded.take()
    }

    pub(crate) fn diagnostics(&self) -> Diagnostics {
        std::mem::take(&mut self.notes().diagnostics)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // The notes stay usable when a handler panicked: that is when they are needed.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
