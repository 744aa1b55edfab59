// SPDX-License-Identifier: Apache-2.0
//! The policies of registries.

use std::sync::Arc;

use hythe_model::AccountId;
use jiff::Timestamp;

use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{PolicyDocument, Store, StoreError};

/// Makes the new text of a policy out of the one that is stored, or says why not; `None` stands for no policy.
///
/// It may be called several times for one change, and must not do anything else.
pub type EditPolicy<E> = Arc<dyn Fn(Option<&PolicyDocument>) -> Result<Option<String>, E> + Send + Sync>;

/// The policy of a registry before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditedPolicy {
    /// What was stored before.
    pub before: Option<PolicyDocument>,
    /// What is stored now.
    pub after: Option<PolicyDocument>,
}

const SELECT: &str = "SELECT document, updated_ms, version FROM registry_policy WHERE account_id = $1";
const PUT: &str = "
    INSERT INTO registry_policy (account_id, document, updated_ms, version) VALUES ($1, $2, $3, $4)
    ON CONFLICT (account_id) DO UPDATE
       SET document = excluded.document, updated_ms = excluded.updated_ms, version = excluded.version";
const DELETE: &str = "DELETE FROM registry_policy WHERE account_id = $1";

impl Store {
    /// The policy of the registry of an account.
    pub async fn registry_policy(&self, account: &AccountId) -> Result<Option<PolicyDocument>, StoreError> {
        find(&mut self.reader().await?, account).await
    }

    /// Changes the policy of a registry: what `edit` makes of the one that is stored takes its place in the same
    /// transaction, so that of several changes at once none is lost.
    pub async fn edit_registry_policy<E>(
        &self,
        account: &AccountId,
        updated_at: Timestamp,
        edit: EditPolicy<E>,
    ) -> Result<EditedPolicy, E>
    where
        E: From<StoreError> + Send + 'static,
    {
        self.write(
            Durability::Full,
            (account.clone(), updated_at, edit),
            |session, (account, updated_at, edit)| {
                Box::pin(async move {
                    let before = find(session, account).await?;
                    let after = edit(before.as_ref())?.map(|text| PolicyDocument::new(&text, *updated_at));
                    match &after {
                        Some(document) => {
                            let values = values![account, &document.text, document.updated_at, document.version];
                            session.execute(PUT, values).await?;
                        }
                        None => drop(session.execute(DELETE, values![account]).await?),
                    }
                    Ok(EditedPolicy { before, after })
                })
            },
        )
        .await
    }
}

async fn find(session: &mut Session, account: &AccountId) -> Result<Option<PolicyDocument>, StoreError> {
    let row = session.fetch_optional(SELECT, values![account]).await?;
    row.map(|row| PolicyDocument::read(&row, 0)).transpose()
}
