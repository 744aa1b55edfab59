// SPDX-License-Identifier: Apache-2.0
//! The Docker token flow, as a client goes through it: a challenge names realm, service and scope.

use anyhow::{Context, Result, ensure};
use e2e::http::{basic, percent_encode};
use e2e::registry::with_query;

use crate::wire::{Answer, Ask};

/// A challenge of the scheme `Bearer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Path and query to ask for a token at.
    pub(crate) target: String,
    pub(crate) realm: String,
    pub(crate) service: String,
    pub(crate) scope: Option<String>,
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// Reads `WWW-Authenticate`.
    pub(crate) fn read(answer: &Answer) -> Result<Self> {
        let header = answer.need("www-authenticate")?;
        let parameters = header
            .strip_prefix("Bearer ")
            .with_context(|| format!("not a challenge for a token: `{header}`"))?;
        let member = |name: &str| {
            let start = parameters.find(&format!("{name}=\""))? + name.len() + 2;
            let rest = parameters.get(start..)?;
            rest.get(..rest.find('"')?).map(str::to_owned)
        };
        let (realm, service) = (member("realm"), member("service"));
        let realm = realm.with_context(|| format!("no realm in `{header}`"))?;
        let service = service.with_context(|| format!("no service in `{header}`"))?;
        let (_, path) = realm.split_once("://").context("the realm is no URL")?;
        let path = path
            .find('/')
            .and_then(|at| path.get(at..))
            .context("the realm has no path")?;
        let scope = member("scope");
        let mut target = format!("{path}?service={}", percent_encode(&service));
        if let Some(scope) = &scope {
            target = with_query(&target, "scope", scope);
        }
        Ok(Self {
            target,
            realm,
            service,
            scope,
            error: member("error"),
        })
    }

    /// The request for a token.
    pub(crate) fn ask(&self, user: &str, password: &str) -> Ask {
        Ask::new("GET", self.target.clone()).header("Authorization", basic(user, password))
    }
}

/// The token in an answer of the token endpoint.
pub(crate) fn token(answer: &Answer) -> Result<String> {
    let body = answer.clone().expect(200)?.json()?;
    let member = |name: &str| body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let (token, access_token) = (member("token"), member("access_token"));
    ensure!(
        !token.is_empty() && token == access_token,
        "no token: {}",
        answer.text()
    );
    Ok(token.to_owned())
}
