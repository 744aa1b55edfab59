// SPDX-License-Identifier: Apache-2.0
//! Sessions of roles.

use hythe_wire::{CreateRoleSession, InRegistry, RoleSession, path};
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// Takes on a role, of the account `registry_id` or else of the caller's.
    pub async fn assume_role(
        &self,
        role_name: &str,
        query: &InRegistry,
        request: &CreateRoleSession,
    ) -> Result<RoleSession, ClientError> {
        self.request(Method::POST, &path::role_sessions(role_name))
            .query(query)
            .body(request)
            .json()
            .await
    }
}
