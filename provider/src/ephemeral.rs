// SPDX-License-Identifier: Apache-2.0
//! Ephemeral resources: secrets that reach neither plan nor state.

mod authorization_token;
mod lease;
mod role_session;
mod service_account_token;

pub(crate) use authorization_token::AuthorizationToken;
pub(crate) use role_session::RoleSession;
pub(crate) use service_account_token::ServiceAccountToken;
