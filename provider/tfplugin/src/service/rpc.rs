// SPDX-License-Identifier: Apache-2.0
//! The calls of `tfplugin6.Provider`, each under the safety net.

use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::Service;
use super::reply::answer;
use crate::proto::{self, provider_server};
use crate::provider::Provider;

type Answer<R> = Result<Response<R>, Status>;

#[tonic::async_trait]
impl<P: Provider> provider_server::Provider for Service<P> {
    async fn get_metadata(&self, _: Request<proto::GetMetadataRequest>) -> Answer<proto::GetMetadataResponse> {
        answer("GetMetadata", async { Ok(self.metadata()) }).await
    }

    async fn get_provider_schema(
        &self,
        _: Request<proto::GetProviderSchemaRequest>,
    ) -> Answer<proto::GetProviderSchemaResponse> {
        answer("GetProviderSchema", async { Ok(self.schemas()) }).await
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<proto::GetResourceIdentitySchemasRequest>,
    ) -> Answer<proto::GetResourceIdentitySchemasResponse> {
        answer("GetResourceIdentitySchemas", async { Ok(self.identity_schemas()) }).await
    }

    async fn validate_provider_config(
        &self,
        request: Request<proto::ValidateProviderConfigRequest>,
    ) -> Answer<proto::ValidateProviderConfigResponse> {
        answer("ValidateProviderConfig", async {
            self.validate_provider(request.get_ref())
        })
        .await
    }

    async fn configure_provider(
        &self,
        request: Request<proto::ConfigureProviderRequest>,
    ) -> Answer<proto::ConfigureProviderResponse> {
        answer("ConfigureProvider", self.configure(request.into_inner())).await
    }

    async fn stop_provider(&self, _: Request<proto::StopProviderRequest>) -> Answer<proto::StopProviderResponse> {
        self.stop();
        Ok(Response::new(proto::StopProviderResponse::default()))
    }

    async fn validate_resource_config(
        &self,
        request: Request<proto::ValidateResourceConfigRequest>,
    ) -> Answer<proto::ValidateResourceConfigResponse> {
        answer("ValidateResourceConfig", async {
            self.validate_resource(request.get_ref())
        })
        .await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<proto::UpgradeResourceStateRequest>,
    ) -> Answer<proto::UpgradeResourceStateResponse> {
        answer("UpgradeResourceState", async {
            self.upgrade_state(request.into_inner())
        })
        .await
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<proto::UpgradeResourceIdentityRequest>,
    ) -> Answer<proto::UpgradeResourceIdentityResponse> {
        answer("UpgradeResourceIdentity", async {
            self.upgrade_identity(request.into_inner())
        })
        .await
    }

    async fn read_resource(&self, request: Request<proto::ReadResourceRequest>) -> Answer<proto::ReadResourceResponse> {
        answer("ReadResource", self.read_resource(request.into_inner())).await
    }

    async fn plan_resource_change(
        &self,
        request: Request<proto::PlanResourceChangeRequest>,
    ) -> Answer<proto::PlanResourceChangeResponse> {
        answer("PlanResourceChange", self.plan(request.into_inner())).await
    }

    async fn apply_resource_change(
        &self,
        request: Request<proto::ApplyResourceChangeRequest>,
    ) -> Answer<proto::ApplyResourceChangeResponse> {
        answer("ApplyResourceChange", self.apply(request.into_inner())).await
    }

    async fn import_resource_state(
        &self,
        request: Request<proto::ImportResourceStateRequest>,
    ) -> Answer<proto::ImportResourceStateResponse> {
        answer("ImportResourceState", self.import(request.into_inner())).await
    }

    async fn move_resource_state(
        &self,
        request: Request<proto::MoveResourceStateRequest>,
    ) -> Answer<proto::MoveResourceStateResponse> {
        answer("MoveResourceState", self.move_state(request.into_inner())).await
    }

    async fn generate_resource_config(
        &self,
        request: Request<proto::GenerateResourceConfigRequest>,
    ) -> Answer<proto::GenerateResourceConfigResponse> {
        answer("GenerateResourceConfig", async {
            self.generate_config(request.get_ref())
        })
        .await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<proto::ValidateDataResourceConfigRequest>,
    ) -> Answer<proto::ValidateDataResourceConfigResponse> {
        answer("ValidateDataResourceConfig", async {
            self.validate_data(request.get_ref())
        })
        .await
    }

    async fn read_data_source(
        &self,
        request: Request<proto::ReadDataSourceRequest>,
    ) -> Answer<proto::ReadDataSourceResponse> {
        answer("ReadDataSource", self.read_data(request.into_inner())).await
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<proto::ValidateEphemeralResourceConfigRequest>,
    ) -> Answer<proto::ValidateEphemeralResourceConfigResponse> {
        answer("ValidateEphemeralResourceConfig", async {
            self.validate_ephemeral(request.get_ref())
        })
        .await
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<proto::OpenEphemeralResourceRequest>,
    ) -> Answer<proto::OpenEphemeralResourceResponse> {
        answer("OpenEphemeralResource", self.open_ephemeral(request.into_inner())).await
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<proto::RenewEphemeralResourceRequest>,
    ) -> Answer<proto::RenewEphemeralResourceResponse> {
        answer("RenewEphemeralResource", self.renew_ephemeral(request.into_inner())).await
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<proto::CloseEphemeralResourceRequest>,
    ) -> Answer<proto::CloseEphemeralResourceResponse> {
        answer("CloseEphemeralResource", self.close_ephemeral(request.into_inner())).await
    }

    async fn get_functions(&self, _: Request<proto::GetFunctionsRequest>) -> Answer<proto::GetFunctionsResponse> {
        answer("GetFunctions", async { Ok(self.functions()) }).await
    }

    async fn call_function(&self, request: Request<proto::CallFunctionRequest>) -> Answer<proto::CallFunctionResponse> {
        Ok(Response::new(self.call_function(request.get_ref())))
    }

    async fn validate_list_resource_config(
        &self,
        request: Request<proto::ValidateListResourceConfigRequest>,
    ) -> Answer<proto::ValidateListResourceConfigResponse> {
        answer("ValidateListResourceConfig", async {
            self.validate_list(request.get_ref())
        })
        .await
    }

    type ListResourceStream = BoxStream<'static, Result<proto::ListResourceEvent, Status>>;

    async fn list_resource(&self, request: Request<proto::ListResourceRequest>) -> Answer<Self::ListResourceStream> {
        Ok(Response::new(self.list(request.get_ref())))
    }

    async fn validate_action_config(
        &self,
        request: Request<proto::ValidateActionConfigRequest>,
    ) -> Answer<proto::ValidateActionConfigResponse> {
        answer("ValidateActionConfig", async {
            self.validate_action(request.get_ref())
        })
        .await
    }

    async fn plan_action(&self, request: Request<proto::PlanActionRequest>) -> Answer<proto::PlanActionResponse> {
        answer("PlanAction", self.plan_action(request.into_inner())).await
    }

    type InvokeActionStream = BoxStream<'static, Result<proto::InvokeActionEvent, Status>>;

    async fn invoke_action(&self, request: Request<proto::InvokeActionRequest>) -> Answer<Self::InvokeActionStream> {
        Ok(Response::new(self.invoke(request.get_ref())))
    }
}
