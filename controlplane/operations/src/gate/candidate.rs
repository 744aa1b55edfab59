// SPDX-License-Identifier: Apache-2.0
//! What would be decided if a resource had another policy.

use hythe_access::{Action, Caller, GateError, Principal, Resource};
use hythe_model::RepositoryArn;
use hythe_rules::{ConditionContext, NamedPolicy, Policies, Policy, Request, Requester};

use super::AccessGate;

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
        let owner = resource.account();
        let arn = match resource {
            Resource::Repository(path) => RepositoryArn {
                region: self.region.clone(),
                repository: path.clone(),
            }
            .to_string(),
            Resource::Registry(_) | Resource::Role(_) => "*".to_owned(),
        };
        let managed = match &caller.principal {
            Principal::User(account, name) => self
                .user_policies(&caller.principal, account, name)
                .await
                .map_err(|error| GateError(error.into()))?
                .unwrap_or_default(),
            Principal::Anonymous | Principal::Root(_) | Principal::Role(_) => std::sync::Arc::default(),
        };
        let identity: Vec<NamedPolicy> = managed.iter().map(|name| name.named().clone()).collect();
        let (repository, registry) = match candidate {
            Candidate::Repository(policy) => (Some(policy), None),
            Candidate::Registry(policy) => (None, Some(policy)),
        };
        let context = ConditionContext {
            now: Some(self.clock.now()),
            source_ip: caller.source_ip,
            is_secure: Some(caller.is_secure),
            user_agent: caller.user_agent.as_deref(),
            region: Some(self.region.as_str()),
            attributes: Some(&caller.attributes),
            ..ConditionContext::default()
        };
        let request = Request {
            requester: Requester::Principal(&caller.principal),
            action,
            resource: &arn,
            owner,
            context: &context,
        };
        let policies = Policies {
            identity: &identity,
            repository,
            registry,
            ..Policies::default()
        };
        Ok(hythe_rules::decide(&request, &policies).is_allowed())
    }
}
