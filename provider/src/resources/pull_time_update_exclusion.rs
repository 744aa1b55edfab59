// SPDX-License-Identifier: Apache-2.0
//! `hythe_pull_time_update_exclusion`: somebody whose pulls do not count as the last pull of an image.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{ListQuery, code};
use tfplugin::{Attr, Result, Schema};

use crate::iam;
use crate::noun::{Api, Failure, Listing, Noun, Outcome, fill};

/// Lets pulls of a user or a role not count as the last pull of an image.
///
/// Scanners and mirrors read everything, and would keep every image alive that a lifecycle policy expires by its last
/// pull. A registry has at most 100 of them.
#[derive(Clone, Debug, Default, Schema)]
pub struct PullTimeUpdateExclusion {
    /// The ARN of a user or a role, of any account, such as `arn:aws:iam::000000000000:role/scanner`.
    #[tf(required, replace, validate = iam::user_or_role_arn)]
    pub principal: Attr<String>,
    /// The registry: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Lists the users and roles whose pulls do not count.
#[derive(Clone, Debug, Default, Schema)]
pub struct PullTimeUpdateExclusions {}

fn everything() -> ListQuery {
    ListQuery {
        max_results: Some(1000),
        ..ListQuery::default()
    }
}

impl Noun for PullTimeUpdateExclusion {
    const NAME: &'static str = "pull_time_update_exclusion";
    const A_NOUN: &'static str = "a pull time update exclusion";
    const KEY: &'static [&'static str] = &["principal"];
    const GONE: &'static [&'static str] = &[code::EXCLUSION_NOT_FOUND];
    const TAKEN: &'static [&'static str] = &[code::EXCLUSION_ALREADY_EXISTS];
    type Filter = PullTimeUpdateExclusions;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let principal = self.principal.required("principal")?;
        // There are few, and no call for one of them.
        let query = everything();
        let page = api.send(|| api.client().pull_time_exclusions(&query)).await?;
        let mut found = page.pull_time_update_exclusions.iter();
        if found.any(|exclusion| exclusion.principal_arn == *principal) {
            Ok(self)
        } else {
            Err(Failure::Absent)
        }
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let principal = self.principal.required("principal")?;
        api.send(|| api.client().register_pull_time_exclusion(principal))
            .await?;
        Ok(self)
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let principal = self.principal.required("principal")?;
        api.send(|| api.client().deregister_pull_time_exclusion(principal))
            .await?;
        Ok(())
    }

    fn list(_: PullTimeUpdateExclusions, client: &Client) -> Result<Listing<Self>> {
        let found = client.all_pull_time_exclusions(everything());
        let listed = found.map_ok(|exclusion| Self {
            principal: exclusion.principal_arn.into(),
            registry_id: Attr::Null,
        });
        Ok(listed.boxed())
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
