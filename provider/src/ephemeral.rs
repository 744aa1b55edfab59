// SPDX-License-Identifier: Apache-2.0
//! Ephemeral resources: secrets that reach neither plan nor state.

mod authorization_token;
mod role_session;

pub(crate) use authorization_token::AuthorizationToken;
pub(crate) use role_session::RoleSession;
