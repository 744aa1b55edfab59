// SPDX-License-Identifier: Apache-2.0
//! `hythe_account`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{AccountStatus, CreateAccount, ListAccounts, UpdateAccount};
use tfplugin::{Attr, Call, Result, Schema};

use crate::argument::{parsed, parses};
use crate::connection::Connection;
use crate::noun::{Api, Listing, Noun, Outcome, fill};

const ACTIVE: &str = "ACTIVE";
const CLOSED: &str = "CLOSED";

/// Manages an account: a tenant, with a registry, users and roles of its own. The administrator of the deployment may.
///
/// Destroying closes the account: its credentials are refused and nothing of it is served, but its data is kept, and its id
/// stays taken. To take a closed one up again, import it.
#[derive(Clone, Debug, Default, Schema)]
pub struct Account {
    /// The id: 12 digits, also the id of the account's registry. The server chooses one if it is left out.
    #[tf(optional, computed, stable, replace, validate = parses::<AccountId>)]
    pub account_id: Attr<String>,
    /// What people call the account: 1 to 50 characters.
    #[tf(required, validate = account_name)]
    pub name: Attr<String>,
    /// Whether the account may be used. Setting it back to `ACTIVE` opens a closed account again.
    #[tf(optional, default = ACTIVE, one_of = [ACTIVE, CLOSED])]
    pub status: Attr<String>,
    /// Whether the account is closed although it has repositories. Destroying reads it from the state: a change has to be
    /// applied before it counts.
    #[tf(optional, default = false)]
    pub force_close: Attr<bool>,
    /// The ARN, as policies name the account.
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// When the account was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
}

/// Lists the accounts of the deployment, by id.
#[derive(Clone, Debug, Default, Schema)]
pub struct Accounts {}

fn account_name(name: &str) -> Result<(), &'static str> {
    if (1..=50).contains(&name.chars().count()) {
        Ok(())
    } else {
        Err("It must have 1 to 50 characters.")
    }
}

impl Account {
    fn observed(mut self, server: hythe_wire::Account) -> Self {
        self.account_id = server.account_id.to_string().into();
        self.name = server.account_name.into();
        self.status = server.status.as_str().into();
        self.arn = server.arn.into();
        self.created_at = server.created_at.to_string().into();
        self
    }

    async fn close(&self, api: &Api<'_>) -> Outcome<hythe_wire::Account> {
        let id: AccountId = parsed("account_id", &self.account_id)?;
        let force = self.force_close.unwrap_or_default();
        api.send(|| api.client().close_account(&id, force, None)).await
    }
}

impl Noun for Account {
    const NAME: &'static str = "account";
    const A_NOUN: &'static str = "an account";
    const KEY: &'static [&'static str] = &["account_id"];
    const UNREAD: &'static [&'static str] = &["force_close"];
    type Filter = Accounts;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let id: AccountId = parsed("account_id", &self.account_id)?;
        let found = api.send(|| api.client().account(&id)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let account_id = match self.account_id.known() {
            Some(_) => Some(parsed("account_id", &self.account_id)?),
            None => None,
        };
        let request = CreateAccount {
            account_id,
            account_name: self.name.required("name")?.clone(),
        };
        let made = api.send_once(|| api.client().create_account(&request)).await?;
        let wanted = self.status.clone();
        let mut now = self.observed(made.value);
        if wanted.as_str() == Some(CLOSED) {
            api.cx.record(&now);
            let closed = now.close(api).await?;
            now = now.observed(closed);
        }
        Ok(now)
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let id: AccountId = parsed("account_id", &prior.account_id)?;
        let closes = self.status.as_str() == Some(CLOSED) && self.status != prior.status;
        let request = UpdateAccount {
            account_name: self.name.known().filter(|_| self.name != prior.name).cloned(),
            status: (self.status != prior.status && !closes).then_some(AccountStatus::Active),
        };
        let mut now = self;
        if request != UpdateAccount::default() {
            let changed = api.send(|| api.client().update_account(&id, &request, None)).await?;
            let wanted = now.status.clone();
            now = now.observed(changed.value);
            api.cx.record(&now);
            now.status = wanted;
        }
        if closes {
            let server = now.close(api).await?;
            now = now.observed(server);
        }
        Ok(now)
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        if self.status.as_str() == Some(CLOSED) {
            return Ok(());
        }
        self.close(api).await.map(drop)
    }

    fn list(_: Accounts, client: &Client) -> Result<Listing<Self>> {
        let accounts = client.all_accounts(ListAccounts::default());
        let seen = |server| Self {
            force_close: false.into(),
            ..Self::default().observed(server)
        };
        Ok(accounts.map_ok(seen).boxed())
    }

    fn predict(&mut self, _: &AccountId) {
        if let Some(id) = self.account_id.as_str() {
            fill(&mut self.arn, format_args!("arn:aws:iam::{id}:root"));
        }
    }

    async fn plan_destroy(cx: &Call<Connection>, state: &Self) -> Result<()> {
        if state.status.as_str() == Some(ACTIVE) {
            let id = state.account_id.as_str().unwrap_or_default();
            let detail = format!(
                "Nobody will be able to use account `{id}` any more: its credentials are refused and nothing of it is served. \
                 Its data is kept, and its id stays taken."
            );
            cx.warn("Account will be closed", detail);
        }
        Ok(())
    }
}
