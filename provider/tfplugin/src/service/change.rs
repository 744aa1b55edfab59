// SPDX-License-Identifier: Apache-2.0
//! Plan and apply.

use super::managed::identity_of;
use super::reply::caught;
use super::{Service, decode, encode, find, finished};
use crate::provider::Provider;
use crate::resource::AnyResource;
use crate::{Call, Path, Result, Step, Value, engine, proto};

impl<P: Provider> Service<P> {
    pub(super) async fn plan(
        &self,
        request: proto::PlanResourceChangeRequest,
    ) -> Result<proto::PlanResourceChangeResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let prior = decode(&definition.ty, request.prior_state.as_ref())?;
        let proposed = decode(&definition.ty, request.proposed_new_state.as_ref())?;
        let config = decode(&definition.ty, request.config.as_ref())?;
        let cx = self.call().with_private(request.prior_private);
        let mut reply = proto::PlanResourceChangeResponse::default();

        let planned = if proposed.is_null() {
            let result = caught(resource.plan_destroy(&cx, prior)).await;
            result.map(|()| (Value::Null, Vec::new()))
        } else {
            reply.planned_identity = request.prior_identity.filter(|_| !prior.is_null());
            plan_change(resource.as_ref(), &cx, &prior, &config).await
        };
        let mut diagnostics = cx.diagnostics();
        if let Some((planned, replace)) = diagnostics.absorb(planned) {
            reply.planned_state = Some(encode(&definition.ty, &planned)?);
            reply.requires_replace = replace.iter().map(Path::to_proto).collect();
            reply.planned_private = cx.private();
        }
        reply.diagnostics = diagnostics.to_proto_in(&definition.schema.object);
        Ok(reply)
    }

    pub(super) async fn apply(
        &self,
        mut request: proto::ApplyResourceChangeRequest,
    ) -> Result<proto::ApplyResourceChangeResponse> {
        let prior_state = request.prior_state.take();
        match self.apply_change(&request, prior_state.as_ref()).await {
            Ok(reply) => Ok(reply),
            // Nothing was done: what was recorded stays.
            Err(diagnostics) => Ok(proto::ApplyResourceChangeResponse {
                new_state: prior_state,
                private: request.planned_private,
                diagnostics: diagnostics.to_proto(),
                ..Default::default()
            }),
        }
    }

    async fn apply_change(
        &self,
        request: &proto::ApplyResourceChangeRequest,
        prior_state: Option<&proto::DynamicValue>,
    ) -> Result<proto::ApplyResourceChangeResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let object = &definition.schema.object;
        let prior = decode(&definition.ty, prior_state)?;
        let planned = decode(&definition.ty, request.planned_state.as_ref())?;
        let config = decode(&definition.ty, request.config.as_ref())?;
        let cx = self.call().with_private(request.planned_private.clone());

        let result = change(resource.as_ref(), &cx, &prior, &planned, config).await;
        let mut diagnostics = cx.diagnostics();
        let new = match diagnostics.absorb(result) {
            Some(new) => {
                let new = finished(object, &planned, new);
                diagnostics.extend(engine::check_known(&new));
                diagnostics.extend(engine::check_applied(object, &planned, &new));
                new
            }
            // What the logic said to exist, else what existed before: nothing, after a failed create.
            None => match cx.recorded() {
                Some(recorded) => finished(object, &planned, recorded),
                None => prior,
            },
        };
        let new = new.unknown_to_null();
        Ok(proto::ApplyResourceChangeResponse {
            new_state: Some(encode(&definition.ty, &new)?),
            private: cx.private(),
            diagnostics: diagnostics.to_proto_in(object),
            legacy_type_system: false,
            new_identity: identity_of(resource.as_ref(), &new)?.or_else(|| request.planned_identity.clone()),
        })
    }
}

/// Plans a create or update: by the schema, and then as the logic improves it.
async fn plan_change<C>(
    resource: &dyn AnyResource<C>,
    cx: &Call<C>,
    prior: &Value,
    config: &Value,
) -> Result<(Value, Vec<Path>)> {
    let object = &resource.definition().schema.object;
    let improve = async |planned: Value| -> Result<(Value, Vec<Path>)> {
        let (planned, asked) = caught(resource.plan(cx, prior.clone(), config.clone(), planned)).await?;
        Ok((
            engine::without_write_only(object, engine::complete(object, planned)),
            asked,
        ))
    };
    let (mut planned, mut asked) = improve(engine::planned(object, prior, config)).await?;
    if planned != *prior && !engine::differs(object, prior, config) {
        // The logic found a change where the configuration has none, such as a new default of the provider. Then
        // whatever a change may touch is open again.
        (planned, asked) = improve(engine::planned_as_changed(object, prior, config)).await?;
    }
    engine::check_planned(object, config, &planned).into_result()?;
    let mut replace = engine::replacements(object, prior, &planned);
    let differs = |path: &Path| !prior.is_null() && at(prior, path) != at(&planned, path);
    replace.extend(asked.into_iter().filter(differs));
    replace.dedup();
    Ok((planned, replace))
}

async fn change<C>(
    resource: &dyn AnyResource<C>,
    cx: &Call<C>,
    prior: &Value,
    planned: &Value,
    config: Value,
) -> Result<Value> {
    match (prior, planned) {
        (Value::Null, Value::Null) => Ok(Value::Null),
        (prior, Value::Null) => {
            caught(resource.delete(cx, prior.clone())).await?;
            Ok(Value::Null)
        }
        (Value::Null, planned) => caught(resource.create(cx, planned.clone(), config)).await,
        (prior, planned) => caught(resource.update(cx, prior.clone(), planned.clone(), config)).await,
    }
}

/// The value at a path; null where there is none.
fn at<'a>(value: &'a Value, path: &Path) -> &'a Value {
    const NULL: &Value = &Value::Null;
    path.steps().iter().fold(value, |value, step| match step {
        Step::Attribute(name) | Step::Key(name) => value.get(name),
        Step::Index(index) => value.as_list().and_then(|items| items.get(*index)).unwrap_or(NULL),
    })
}
