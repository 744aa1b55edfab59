// SPDX-License-Identifier: Apache-2.0
//! What would be decided if a resource had another policy.

use hythe_access::{Action, Caller, GateError, RequestContext, Resource};
use hythe_rules::{Policies, Policy, Request};

use super::{AccessGate, failed};

/// A policy that is not stored yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Candidate<'p> {
    /// Of the repository.
    Repository(&'p Policy),
    /// Of the registry.
    Registry(&'p Policy),
}

impl AccessGate {
    /// Whether `caller` could do `action` on `resource` if the resource had the policy `candidate`.
    pub(crate) async fn would_allow(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        candidate: Candidate<'_>,
    ) -> Result<bool, GateError> {
        let set = self.policy_set(&caller.principal, caller.session_policy.as_ref(), resource);
        let set = set.await.map_err(failed)?;
        let named = RequestContext::default();
        let context = self.conditions(caller, &named, &set);
        let request = Request {
            requester: set.requester(&caller.principal, &self.default_account),
            action,
            resource: set.resource(),
            owner: resource.account(),
            context: &context,
        };
        let stored = set.policies();
        let policies = match candidate {
            Candidate::Repository(policy) => Policies {
                repository: Some(policy),
                ..stored
            },
            Candidate::Registry(policy) => Policies {
                registry: Some(policy),
                ..stored
            },
        };
        Ok(hythe_rules::decide(&request, &policies).is_allowed())
    }
}
