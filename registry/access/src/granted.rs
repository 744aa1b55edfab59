// SPDX-License-Identifier: Apache-2.0
//! The proof that a gate said yes.

use std::marker::PhantomData;
use std::sync::Arc;

use hythe_model::RepositoryPath;

use crate::gate::Resource;
use crate::{Action, ActionKind, Caller, Decision, Denial, Gate, GateError, ReplicaStep, RequestContext, Trail, kinds};

/// Proof that a caller may do `A` on one resource. Only [`authorize`] and its variants make it.
#[derive(Debug)]
pub struct Granted<A: ActionKind> {
    caller: Arc<Caller>,
    resource: A::Resource,
    action: PhantomData<A>,
}

impl<A: ActionKind> Granted<A> {
    /// What the permission is for. Operations work on this and on nothing else.
    #[must_use]
    pub fn resource(&self) -> &A::Resource {
        &self.resource
    }

    /// Who was permitted.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// Why there is no [`Granted`].
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The request carried no credentials, and anonymous callers may not do this.
    #[error("{0}")]
    Unauthenticated(Denial),
    /// The caller is known and may not do this; the text says why.
    #[error("{0}")]
    Denied(Denial),
    /// It could not be decided.
    #[error(transparent)]
    Unavailable(#[from] GateError),
}

/// Asks `gate` whether `caller` may do `A` on `resource`, for a request about which conditions can ask no more.
pub async fn authorize<A: ActionKind>(
    gate: &dyn Gate,
    caller: &Caller,
    resource: A::Resource,
) -> Result<Granted<A>, AccessError> {
    authorize_with(gate, caller, resource, &RequestContext::default()).await
}

/// Asks `gate` whether `caller` may do `A` on `resource`, in a request with this `context`.
pub async fn authorize_with<A: ActionKind>(
    gate: &dyn Gate,
    caller: &Caller,
    resource: A::Resource,
    context: &RequestContext,
) -> Result<Granted<A>, AccessError> {
    authorize_shared(gate, &Arc::new(caller.clone()), resource, context).await
}

/// The same, for a caller that is asked about again and again.
pub async fn authorize_shared<A: ActionKind>(
    gate: &dyn Gate,
    caller: &Arc<Caller>,
    resource: A::Resource,
    context: &RequestContext,
) -> Result<Granted<A>, AccessError> {
    ask(gate, caller, A::ACTION, resource, context).await
}

/// The same, for a step of storing a replica: whoever may bring images here from elsewhere may do each of them.
pub async fn authorize_replica<A: ReplicaStep>(
    gate: &dyn Gate,
    caller: &Arc<Caller>,
    resource: A::Resource,
    context: &RequestContext,
) -> Result<Granted<A>, AccessError> {
    ask(gate, caller, Action::ReplicateImage, resource, context).await
}

/// Asks `gate` whether `caller` may bring changes to `repository` that were made elsewhere, and to say so.
pub async fn authorize_origin(
    gate: &dyn Gate,
    caller: &Arc<Caller>,
    repository: RepositoryPath,
) -> Result<(), AccessError> {
    let context = RequestContext::default();
    authorize_shared::<kinds::ReplicateImage>(gate, caller, repository, &context)
        .await
        .map(drop)
}

async fn ask<A: ActionKind>(
    gate: &dyn Gate,
    caller: &Arc<Caller>,
    action: Action,
    resource: A::Resource,
    context: &RequestContext,
) -> Result<Granted<A>, AccessError> {
    let asked: Resource = resource.clone().into();
    let decision = gate.decide(caller, action, &asked, context).await?;
    Trail::note(|facts| facts.set_decision(action, asked, &decision));
    match decision {
        Decision::Allowed(_) => Ok(Granted {
            caller: Arc::clone(caller),
            resource,
            action: PhantomData,
        }),
        Decision::Denied(reason) if caller.principal.is_anonymous() => Err(AccessError::Unauthenticated(reason)),
        Decision::Denied(reason) => Err(AccessError::Denied(reason)),
    }
}

/// Asks `gate` about each of these repositories (see [`Gate::expect`]), for a list that shows what `caller` may see; `None` for
/// those it may not.
pub async fn authorize_each<A: ActionKind<Resource = RepositoryPath>>(
    gate: &dyn Gate,
    caller: &Arc<Caller>,
    repositories: Vec<RepositoryPath>,
) -> Result<Vec<Option<Granted<A>>>, GateError> {
    let context = RequestContext::default();
    gate.expect(&repositories).await?;
    let mut granted = Vec::with_capacity(repositories.len());
    for repository in repositories {
        match authorize_shared::<A>(gate, caller, repository, &context).await {
            Ok(yes) => granted.push(Some(yes)),
            Err(AccessError::Unauthenticated(_) | AccessError::Denied(_)) => granted.push(None),
            Err(AccessError::Unavailable(error)) => return Err(error),
        }
    }
    Ok(granted)
}
