// SPDX-License-Identifier: Apache-2.0
//! Every handler's safety net: errors and panics become diagnostics of a normal answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tonic::{Response, Status};
use tracing::Instrument;

use crate::{Diagnostics, Result, proto};

/// An answer that can say that the call failed.
pub(super) trait Reply {
    fn failed(diagnostics: &Diagnostics) -> Self;
}

macro_rules! reply {
    ($($message:ident),* $(,)?) => {$(
        impl Reply for proto::$message {
            fn failed(diagnostics: &Diagnostics) -> Self {
                Self { diagnostics: diagnostics.to_proto(), ..Self::default() }
            }
        }
    )*};
}
#[allow(clippy::needless_update, reason = "some answers have nothing but diagnostics")]
mod replies {
    use super::{Diagnostics, Reply, proto};
    reply!(
        GetMetadataResponse,
        GetProviderSchemaResponse,
        GetResourceIdentitySchemasResponse,
        ValidateProviderConfigResponse,
        ConfigureProviderResponse,
        ValidateResourceConfigResponse,
        UpgradeResourceStateResponse,
        UpgradeResourceIdentityResponse,
        ReadResourceResponse,
        PlanResourceChangeResponse,
        ApplyResourceChangeResponse,
        ImportResourceStateResponse,
        MoveResourceStateResponse,
        GenerateResourceConfigResponse,
        ValidateDataResourceConfigResponse,
        ReadDataSourceResponse,
        ValidateEphemeralResourceConfigResponse,
        OpenEphemeralResourceResponse,
        RenewEphemeralResourceResponse,
        CloseEphemeralResourceResponse,
        GetFunctionsResponse,
        ValidateListResourceConfigResponse,
        ValidateActionConfigResponse,
        PlanActionResponse,
        ListResourceEvent,
    );
}

impl Reply for proto::InvokeActionEvent {
    fn failed(diagnostics: &Diagnostics) -> Self {
        use proto::invoke_action_event::{Completed, Event};
        Self {
            event: Some(Event::Completed(Completed {
                diagnostics: diagnostics.to_proto(),
            })),
        }
    }
}

/// Runs a handler.
pub(super) async fn answer<R: Reply>(
    method: &'static str,
    work: impl Future<Output = Result<R>>,
) -> Result<Response<R>, Status> {
    let work = caught(work).instrument(tracing::debug_span!("call", method));
    Ok(Response::new(
        work.await.unwrap_or_else(|diagnostics| R::failed(&diagnostics)),
    ))
}

/// Runs provider logic; a panic becomes an error.
pub(super) async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // The logic's own state may be inconsistent after a panic; each call has its own, and the client's locks are poisoned.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(crashed(panic.as_ref())),
    }
}

pub(super) fn crashed(panic: &(dyn Any + Send)) -> Diagnostics {
    let cause = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(cause, "provider logic panicked");
    Diagnostics::error(
        "The provider crashed",
        format!("The operation was given up: {cause}. This is a bug in the provider; please report it."),
    )
}
