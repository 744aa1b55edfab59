// SPDX-License-Identifier: Apache-2.0
//! Functions: pure, offline, deterministic.

mod build_image_uri;
mod lifecycle_policy_matches;
mod normalize_policy;
mod parse_arn;
mod parse_image_uri;

pub(crate) use build_image_uri::BuildImageUri;
pub(crate) use lifecycle_policy_matches::LifecyclePolicyMatches;
pub(crate) use normalize_policy::NormalizePolicy;
pub(crate) use parse_arn::ParseArn;
pub(crate) use parse_image_uri::ParseImageUri;
