// SPDX-License-Identifier: Apache-2.0
//! What a client gets in place of an answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request failed (RFC 9457, "Problem Details for HTTP APIs"), with ECR's exception name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A URI of the kind of problem; `about:blank` where `code` says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The kind of problem in a few words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    #[serde(default)]
    pub detail: String,
    /// ECR's name of the exception, such as `RepositoryNotFoundException`.
    #[serde(default)]
    pub code: String,
    /// Where in the body the offending value is (RFC 6901), such as `/imageTagMutability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The id under which the server's log has this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

fn about_blank() -> String {
    "about:blank".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_from_elsewhere_is_understood_as_far_as_it_goes() {
        let problem: Problem = serde_json::from_str(r#"{"title":"Bad Gateway","status":502,"extra":1}"#).unwrap();
        assert_eq!(
            (problem.kind.as_str(), problem.status, problem.code.as_str()),
            ("about:blank", 502, "")
        );
    }

    #[test]
    fn a_problem_round_trips() {
        let text = concat!(
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no","code":"RepositoryNotFoundException","#,
            r#""pointer":"/repositoryName","requestId":"r1"}"#
        );
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&problem).unwrap(), text);
    }
}
