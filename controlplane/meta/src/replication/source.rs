// SPDX-License-Identifier: Apache-2.0
//! Repositories of a destination from which a blob can be mounted there.

use hythe_model::{Digest, RegistryPlace, RepositoryName, RepositoryPath};
use hythe_rules::replication::targets;

use super::rule;
use crate::blob::SOURCES;
use crate::session::values;
use crate::{Store, StoreError};

/// How many repositories that have a blob here are looked at.
const MAX_CANDIDATES: usize = 16;
/// Looks at some of the images of a repository only: with rules for it, nearly all of them have arrived.
const HAS_ARRIVED: &str = "
    SELECT 1
      FROM (SELECT destination, target_account, state FROM replication_status
             WHERE repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
             ORDER BY digest LIMIT 64) s
     WHERE s.destination = $3 AND s.target_account = $4 AND s.state = 'COMPLETE' LIMIT 1";

impl Store {
    /// Another repository that has a blob here and that a place has been told of: rules bring its images there, and one of them
    /// has arrived. Names of other repositories are nobody's business there.
    pub async fn replicated_source(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        place: &RegistryPlace,
    ) -> Result<Option<RepositoryPath>, StoreError> {
        let account = &repository.account;
        let mut session = self.reader().await?;
        let rows = session
            .fetch_all(SOURCES, values![digest, account, MAX_CANDIDATES])
            .await?;
        let rules = rule::all(&mut session, account).await?;
        for row in rows {
            let name: RepositoryName = row.parsed(0)?;
            if name == repository.name || !targets(&rules, &name, None).contains_key(place) {
                continue;
            }
            let values = values![account, &name, place.region.as_str(), &place.account];
            if session.fetch_optional(HAS_ARRIVED, values).await?.is_some() {
                return Ok(Some(RepositoryPath {
                    account: account.clone(),
                    name,
                }));
            }
        }
        Ok(None)
    }
}
