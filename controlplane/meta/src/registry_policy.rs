// SPDX-License-Identifier: Apache-2.0
//! The policies of registries.

use std::collections::BTreeMap;
use std::sync::Arc;

use hythe_model::AccountId;
use jiff::Timestamp;

use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{PolicyDocument, Store, StoreError};

/// Makes the new text of a policy out of the one that is stored, or says why not; `None` stands for no policy.
///
/// It may be called several times for one change, and must not do anything else.
pub type EditPolicy<E> = Arc<dyn Fn(Option<&PolicyDocument>) -> Result<Option<PolicyText>, E> + Send + Sync>;

/// The text of a policy, and what of it is set now. The rest is as old as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyText {
    /// All of it.
    Whole(String),
    /// The statement with this `Sid`.
    Statement(String, String),
    /// Nothing: the statement with this `Sid` is not in it any more.
    Without(String, String),
}

/// The policy of a registry before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditedPolicy {
    /// What was stored before.
    pub before: Option<PolicyDocument>,
    /// What is stored now.
    pub after: Option<PolicyDocument>,
}

const SELECT: &str = "SELECT document, updated_ms, version, statement_times FROM registry_policy WHERE account_id = $1";
const PUT: &str = "
    INSERT INTO registry_policy (account_id, document, updated_ms, version, statement_times) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account_id) DO UPDATE
       SET document = excluded.document, updated_ms = excluded.updated_ms, version = excluded.version,
           statement_times = excluded.statement_times";
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
                    let after = edit(before.as_ref())?.map(|text| edited(before.as_ref(), &text, *updated_at));
                    match &after {
                        Some(document) => {
                            let times = times_column(&document.statements_updated_at)?;
                            let values = values![account, &document.text, document.updated_at, document.version, times];
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
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<PolicyDocument, StoreError> {
    let times: BTreeMap<String, i64> = serde_json::from_str(&row.text(3)?)?;
    let time = |(sid, millis)| (sid, hythe_model::from_millis(millis));
    Ok(PolicyDocument {
        statements_updated_at: times.into_iter().map(time).collect(),
        ..PolicyDocument::read(row, 0)?
    })
}

fn times_column(times: &BTreeMap<String, Timestamp>) -> Result<String, StoreError> {
    let times: BTreeMap<_, _> = times.iter().map(|(sid, at)| (sid, hythe_model::millis(*at))).collect();
    Ok(serde_json::to_string(&times)?)
}

fn edited(before: Option<&PolicyDocument>, text: &PolicyText, updated_at: Timestamp) -> PolicyDocument {
    let (text, sid, is_set) = match text {
        PolicyText::Whole(text) => (text, None, true),
        PolicyText::Statement(sid, text) => (text, Some(sid), true),
        PolicyText::Without(sid, text) => (text, Some(sid), false),
    };
    let mut document = PolicyDocument::new(text, updated_at);
    if let (Some(before), Some(sid)) = (before, sid) {
        let mut times = before.statements_updated_at.clone();
        times.remove(sid);
        if is_set {
            times.insert(sid.clone(), document.updated_at);
        }
        document.statements_updated_at = times;
        document.updated_at = before.updated_at;
    }
    document
}
