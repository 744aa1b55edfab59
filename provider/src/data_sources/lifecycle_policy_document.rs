// SPDX-License-Identifier: Apache-2.0
//! `hythe_lifecycle_policy_document`.

use tfplugin::{Attr, Call, DataSource, Diagnostics, Result, Schema};

use crate::connection::Connection;
use crate::lifecycle::{Rule, misplaced, policy};

/// Writes a lifecycle policy as JSON, without asking the server.
///
/// The rules are checked as the server checks them. Policies that say the same come out as the same text.
#[derive(Clone, Debug, Default, Schema)]
pub struct LifecyclePolicyDocument {
    /// The rules: 1 to 50, in any order.
    #[tf(required)]
    pub rules: Attr<Vec<Rule>>,
    /// The policy: JSON without white space, with rules and members in a fixed order.
    #[tf(computed)]
    pub json: Attr<String>,
}

impl DataSource for LifecyclePolicyDocument {
    const NAME: &'static str = "lifecycle_policy_document";
    type Client = Connection;

    async fn read(_: &Call<Connection>, config: Self) -> Result<Self> {
        let rules = config.rules.required("rules")?;
        let policy = policy(rules).ok_or_else(|| {
            Diagnostics::error(
                "Lifecycle policy is not known yet",
                "A part of it is known after apply only.",
            )
        })?;
        let policy = policy.map_err(|error| misplaced(&error))?;
        Ok(Self {
            json: policy.canonical().into(),
            ..config
        })
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if let Some(Err(error)) = config.rules.known().and_then(|rules| policy(rules)) {
            diagnostics.push(misplaced(&error));
        }
        diagnostics
    }
}
