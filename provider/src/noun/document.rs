// SPDX-License-Identifier: Apache-2.0
//! Changing a document that others may change as well: only as long as it is what the plan was made from.

use hythe_client::{ClientError, ETag, Versioned};
use hythe_wire::code;
use tfplugin::{Attr, Path};

use super::{Api, Failure, Outcome};
use crate::diagnostics;

/// How often a change begins anew because something else of the object has changed meanwhile, such as an attachment.
const MAX_ATTEMPTS: u32 = 8;

/// A document within an object, which a plan wants to change.
pub(crate) struct Document<'a, T> {
    /// What messages call it.
    pub called: String,
    /// The argument that holds it.
    pub path: Path,
    /// What the plan was made from, and what it wants.
    pub prior: &'a Attr<String>,
    pub planned: &'a Attr<String>,
    /// Whether two texts say the same.
    pub is_same: fn(&str, &str) -> bool,
    /// The text in what the server answers.
    pub text: fn(&T) -> &str,
}

impl<T> Document<'_, T> {
    /// Reads the object and writes it with `put`, for the version that was read and no other.
    pub(crate) async fn change<R, P>(
        &self,
        api: &Api<'_>,
        read: impl Fn() -> R,
        put: impl Fn(Option<ETag>) -> P,
    ) -> Outcome<Versioned<T>>
    where
        R: Future<Output = Result<Versioned<T>, ClientError>>,
        P: Future<Output = Result<Versioned<T>, ClientError>>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let found = api.send(&read).await?;
            if !self.is_expected((self.text)(&found.value)) {
                break;
            }
            match api.send(|| put(found.etag.clone())).await {
                // Something else of the object, or an answer to this that was lost: the next look tells.
                Err(Failure::Client(error)) if error.code() == Some(code::PRECONDITION_FAILED) => {}
                outcome => return outcome,
            }
        }
        Err(diagnostics::changed_meanwhile(&self.called, self.path.clone()).into())
    }

    /// Whether it is as it was when the plan was made, or as it shall be.
    fn is_expected(&self, now: &str) -> bool {
        let known = [self.prior, self.planned].into_iter().filter_map(Attr::as_str);
        known.into_iter().any(|text| text == now || (self.is_same)(text, now))
    }
}
