// SPDX-License-Identifier: Apache-2.0
//! `hythe_access_key`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_client::wire::Secret;
use hythe_model::AccountId;
use hythe_wire::{AccessKeyStatus, CreateAccessKey, ListQuery};
use tfplugin::{Attr, Call, Path, Result, Schema};

use crate::connection::Connection;
use crate::iam;
use crate::noun::{Api, Failure, Listing, Noun, Outcome, fill};

const ACTIVE: &str = "Active";
const INACTIVE: &str = "Inactive";

/// How long a secret may be, in characters: 40 letters and digits are the least that cannot be guessed by far.
const MIN_SECRET_CHARS: usize = 40;
const MAX_SECRET_CHARS: usize = 128;

/// Manages an access key of a user, of which each can have two. Its secret is in neither plan nor state.
///
/// The secret is chosen in the configuration, by an ephemeral `random_password` for example, and given both to this
/// resource and to whatever stores it for those who use it. To rotate it, raise `secret_access_key_wo_version`: that makes a
/// new key. With `create_before_destroy` the old one stays good until the new one is stored.
#[derive(Clone, Debug, Default, Schema)]
pub struct AccessKey {
    /// The name of the user.
    #[tf(required, replace, validate = iam::name_of_64)]
    pub user: Attr<String>,
    /// The secret: 40 to 128 letters, digits and `+/=._~-`. It should be random; the server keeps it sealed and never shows
    /// it. An import cannot verify it.
    #[tf(required, sensitive, write_only, validate = secret)]
    pub secret_access_key_wo: Attr<String>,
    /// Says when there is a new secret: a change makes a new key with it. After an import, the first value only is
    /// recorded.
    #[tf(required)]
    pub secret_access_key_wo_version: Attr<u64>,
    /// Whether the key may be used.
    #[tf(optional, default = ACTIVE, one_of = [ACTIVE, INACTIVE])]
    pub status: Attr<String>,
    /// The id of the key, which is the user name to log in with. It is not secret.
    #[tf(computed, stable)]
    pub access_key_id: Attr<String>,
    /// The account of the user, which is the id of its registry.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the key was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// When the key was last used, to within some minutes (RFC 3339); null if never.
    #[tf(computed)]
    pub last_used_at: Attr<String>,
}

/// Lists the access keys of a user, without their secrets.
#[derive(Clone, Debug, Default, Schema)]
pub struct AccessKeys {
    /// The name of the user.
    #[tf(required, validate = iam::name_of_64)]
    pub user: Attr<String>,
}

fn secret(text: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=._~-".contains(&byte);
    if (MIN_SECRET_CHARS..=MAX_SECRET_CHARS).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(format!(
            "It must have {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} letters, digits and `+/=._~-`."
        ))
    }
}

impl AccessKey {
    fn observed(mut self, server: hythe_wire::AccessKey) -> Self {
        self.access_key_id = server.access_key_id.into();
        self.status = server.status.as_str().into();
        self.created_at = server.created_at.to_string().into();
        self.last_used_at = server.last_used_at.map(|at| at.to_string()).into();
        self
    }

    async fn set_status(&self, api: &Api<'_>, user: &str, id: &str) -> Outcome<hythe_wire::AccessKey> {
        let status = if self.status.as_str() == Some(INACTIVE) {
            AccessKeyStatus::Inactive
        } else {
            AccessKeyStatus::Active
        };
        api.send(|| api.client().update_access_key(user, id, status)).await
    }
}

impl Noun for AccessKey {
    const NAME: &'static str = "access_key";
    const A_NOUN: &'static str = "an access key";
    const KEY: &'static [&'static str] = &["user", "access_key_id"];
    const UNREAD: &'static [&'static str] = &["secret_access_key_wo_version"];
    const ONLY_FOUND: &'static [&'static str] = &["last_used_at"];
    type Filter = AccessKeys;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let (user, id) = (
            self.user.required("user")?.clone(),
            self.access_key_id.required("access_key_id")?.clone(),
        );
        let ask = || async {
            let mut keys = Box::pin(api.client().all_access_keys(&user, ListQuery::default()));
            while let Some(key) = keys.try_next().await? {
                if key.access_key_id == id {
                    return Ok(Some(key));
                }
            }
            Ok(None)
        };
        let found = api.send(ask).await?;
        found.map(|key| self.observed(key)).ok_or(Failure::Absent)
    }

    async fn make(self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        let user = self.user.required("user")?.clone();
        let chosen = config.secret_access_key_wo.required("secret_access_key_wo")?;
        let request = CreateAccessKey {
            secret_access_key: Some(Secret::new(chosen.clone())),
        };
        let made = api
            .send_once(|| api.client().create_access_key_with(&user, &request))
            .await?;
        let wanted = self.status.clone();
        let mut now = self.observed(made.access_key);
        if wanted.as_str() == Some(INACTIVE) {
            api.cx.record(&now);
            now.status = wanted;
            let id = now.access_key_id.clone().unwrap_or_default();
            let changed = now.set_status(api, &user, &id).await?;
            now = now.observed(changed);
        }
        Ok(now)
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        if self.status == prior.status {
            return Ok(self);
        }
        let user = self.user.required("user")?.clone();
        let id = prior.access_key_id.required("access_key_id")?;
        let changed = self.set_status(api, &user, id).await?;
        Ok(self.observed(changed))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let (user, id) = (
            self.user.required("user")?,
            self.access_key_id.required("access_key_id")?,
        );
        api.send(|| api.client().delete_access_key(user, id)).await?;
        Ok(())
    }

    fn list(filter: AccessKeys, client: &Client) -> Result<Listing<Self>> {
        let user = filter.user.required("user")?.clone();
        let keys = client.all_access_keys(&user, ListQuery::default());
        let seen = move |server| Self {
            user: user.clone().into(),
            ..Self::default().observed(server)
        };
        Ok(keys.map_ok(seen).boxed())
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }

    async fn plan(_: &Call<Connection>, prior: Option<&Self>, _: &mut Self) -> Result<Vec<Path>> {
        // An imported key has no version yet: the first one says nothing about the secret.
        let is_versioned = prior.is_some_and(|prior| prior.secret_access_key_wo_version.known().is_some());
        let path = Path::new("secret_access_key_wo_version");
        Ok(is_versioned.then_some(path).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_enough_and_printable() {
        let cases = [
            ("a".repeat(40), true),
            ("a+/=._~-Z9".repeat(4), true),
            ("a".repeat(128), true),
            ("a".repeat(39), false),
            ("a".repeat(129), false),
            ("a b".repeat(20), false),
            ("a:b".repeat(20), false),
        ];
        for (text, valid) in cases {
            assert_eq!(secret(&text).is_ok(), valid, "{text}");
        }
    }
}
