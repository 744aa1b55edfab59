// SPDX-License-Identifier: Apache-2.0
//! `/policy-simulations`, `/repositories/{repositoryName}/access`.

use http::StatusCode;
use hythe_access::{Action, Principal, kinds};
use hythe_model::RepositoryArn;
use hythe_operations::{
    Effect, Evaluation, Outcome, OwnedStatement, Policy, PolicyGrammar, PolicyKind, SimulatedRequester,
    SimulatedResource, Simulation,
};
use hythe_wire::{
    InRegistry, ListRepositoryAccess, MAX_SIMULATED_DECISIONS, MAX_SIMULATED_POLICIES, PolicyDecision,
    PolicyEvaluation, PolicySimulation, PolicyStatement, RepositoryAccess, RepositoryAccessEntry, SimulatePolicy,
    UnmetCondition,
};

use super::{Handled, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn simulate(context: Context, Json(body): Json<SimulatePolicy>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let simulation = simulation(&context.caller.principal, body)?;
    // A session is that of a role (IAM, `SimulatePrincipalPolicy`).
    match &simulation.requester {
        SimulatedRequester::Provider(..) | SimulatedRequester::Principal(Principal::User(..)) => {
            context.concerns(simulation.requester.to_string());
        }
        SimulatedRequester::Principal(Principal::Role(session)) => context.concerns(session.role_path().to_string()),
        SimulatedRequester::Principal(Principal::Anonymous | Principal::Root(_)) => {}
    }
    let granted = context.authorize::<kinds::SimulatePrincipalPolicy>(account).await?;
    let evaluations = context.plane.simulate_policy(&granted, &simulation).await?;
    let answer = PolicySimulation {
        principal_arn: simulation.requester.to_string(),
        evaluations: evaluations.into_iter().map(evaluation).collect(),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn access(context: Context) -> Handled {
    let query: ListRepositoryAccess = context.query()?;
    let path = context.repository(query.registry_id)?;
    let granted = context
        .authorize::<kinds::SimulatePrincipalPolicy>(path.account.clone())
        .await?;
    let action = match query.action {
        None => Action::BatchGetImage,
        Some(name) => name.parse().map_err(|error| Problem::invalid("action", error))?,
    };
    let access = context.plane.repository_access(&granted, &path, action).await?;
    let entries = access.principals.into_iter().map(|entry| RepositoryAccessEntry {
        arn: entry.arn,
        via: entry.via,
        provided: entry.provided,
    });
    let answer = RepositoryAccess {
        registry_id: path.account,
        repository_name: path.name,
        action: action.to_string(),
        anyone: access.anyone,
        principals: entries.collect(),
        is_truncated: access.is_truncated,
    };
    json(StatusCode::OK, &answer, None)
}

fn simulation(caller: &Principal, body: SimulatePolicy) -> Result<Simulation, Problem> {
    let requester = match &body.principal_arn {
        None => SimulatedRequester::Principal(caller.clone()),
        Some(arn) => SimulatedRequester::parse(arn).ok_or_else(|| {
            let reason = "it must be the ARN of a user, a role, a session of a role, an account's root or an identity \
                          provider, or `*`";
            Problem::invalid_member("/principalArn", reason)
        })?,
    };
    let claims = claims(&requester, &body)?;
    let mut resource_arns = body.resource_arns;
    if resource_arns.is_empty() {
        resource_arns.push("*".to_owned());
    }
    let decisions = body.actions.len().saturating_mul(resource_arns.len());
    if !(1..=MAX_SIMULATED_DECISIONS).contains(&decisions) {
        let reason = format!("actions times resources must be 1 to {MAX_SIMULATED_DECISIONS}");
        return Err(Problem::invalid_member("/actions", reason));
    }
    let action = |(index, name): (usize, &String)| {
        let place = format!("/actions/{index}");
        name.parse().map_err(|error| Problem::invalid_member(&place, error))
    };
    let context = body.context.into_iter().chain(claims);
    let documents = body.policy_documents.as_deref().map(drafts).transpose()?;
    let session = body
        .session_policy
        .map(|text| draft("/sessionPolicy", &text, PolicyGrammar::Identity));
    let repository = body
        .resource_policy
        .map(|text| draft("/resourcePolicy", &text, PolicyGrammar::Repository));
    Ok(Simulation {
        requester,
        actions: body.actions.iter().enumerate().map(action).collect::<Result<_, _>>()?,
        resources: resource_arns
            .iter()
            .enumerate()
            .map(|(index, arn)| resource(index, arn))
            .collect::<Result<_, _>>()?,
        context: context
            .map(|(key, values)| (key.to_ascii_lowercase(), values))
            .collect(),
        identity: documents,
        session: session.transpose()?,
        repository: repository.transpose()?,
    })
}

/// The claims as condition keys. Only who has a token of an identity provider has any, and has nothing else yet.
fn claims(requester: &SimulatedRequester, body: &SimulatePolicy) -> Result<Vec<(String, Vec<String>)>, Problem> {
    let SimulatedRequester::Provider(_, name) = requester else {
        if body.claims.is_empty() {
            return Ok(Vec::new());
        }
        let reason = "claims are those of a token of an identity provider: give its ARN as the principal; to ask about a \
                      session, give what it has kept as `<host and path>:<claim>` in `context`";
        return Err(Problem::invalid_member("/claims", reason));
    };
    let policies = [
        ("/policyDocuments", body.policy_documents.is_some()),
        ("/sessionPolicy", body.session_policy.is_some()),
    ];
    if let Some((place, _)) = policies.into_iter().find(|(_, is_given)| *is_given) {
        let reason = "whoever asks for a role with a token has no policies: name the role to ask about its sessions";
        return Err(Problem::invalid_member(place, reason));
    }
    let claims = body.claims.iter();
    Ok(claims
        .map(|(claim, values)| (format!("{name}:{claim}"), values.clone()))
        .collect())
}

fn drafts(texts: &[String]) -> Result<Vec<Policy>, Problem> {
    if texts.len() > MAX_SIMULATED_POLICIES {
        let reason = format!("there may be at most {MAX_SIMULATED_POLICIES}");
        return Err(Problem::invalid_member("/policyDocuments", reason));
    }
    let numbered = texts.iter().enumerate();
    let read =
        |(index, text): (usize, &String)| draft(&format!("/policyDocuments/{index}"), text, PolicyGrammar::Identity);
    numbered.map(read).collect()
}

fn draft(place: &str, text: &str, grammar: PolicyGrammar) -> Result<Policy, Problem> {
    Policy::parse(text, grammar).map_err(|error| Problem::invalid_member(place, error))
}

fn resource(index: usize, text: &str) -> Result<SimulatedResource, Problem> {
    if text == "*" {
        return Ok(SimulatedResource::Registry);
    }
    if let Ok(role) = text.parse() {
        return Ok(SimulatedResource::Role(role));
    }
    if let Some(identity) = SimulatedResource::identity(text) {
        return Ok(identity);
    }
    let arn: Result<RepositoryArn, _> = text.parse();
    arn.map(SimulatedResource::Repository)
        .map_err(|error| Problem::invalid_member(&format!("/resourceArns/{index}"), error))
}

fn evaluation(evaluation: Evaluation) -> PolicyEvaluation {
    let near = evaluation.near.into_iter().map(|(near, condition)| UnmetCondition {
        statement: statement(near),
        condition,
    });
    PolicyEvaluation {
        action: evaluation.action.to_string(),
        resource_arn: evaluation.resource,
        decision: match evaluation.outcome {
            Outcome::Allowed => PolicyDecision::Allowed,
            Outcome::ExplicitDeny => PolicyDecision::ExplicitDeny,
            Outcome::ImplicitDeny => PolicyDecision::ImplicitDeny,
        },
        statement: evaluation.statement.map(statement),
        matched_statements: evaluation.matched.into_iter().map(statement).collect(),
        unmet_conditions: near.collect(),
        missing: evaluation.missing.map(|missing| missing.as_str().to_owned()),
        reason: evaluation.reason,
    }
}

fn statement(statement: OwnedStatement) -> PolicyStatement {
    let policy_type = match statement.kind {
        PolicyKind::Identity => "identity",
        PolicyKind::Boundary => "permissionsBoundary",
        PolicyKind::Session => "session",
        PolicyKind::Repository => "repository",
        PolicyKind::Registry => "registry",
        PolicyKind::Trust => "trust",
    };
    let effect = match statement.effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    };
    PolicyStatement {
        policy_type: policy_type.to_owned(),
        policy_name: statement.policy,
        index: statement.index,
        sid: statement.sid,
        effect: effect.to_owned(),
    }
}
