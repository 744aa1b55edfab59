// SPDX-License-Identifier: Apache-2.0
//! Any input gets an answer below 500, and no panic.

use http::{HeaderName, HeaderValue, Method, Uri};
use proptest::prelude::*;

use crate::support::{Ask, Plane};

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
];
const HEADERS: [&str; 8] = [
    "authorization",
    "range",
    "content-range",
    "content-length",
    "content-type",
    "if-none-match",
    "accept",
    "host",
];

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        Just("v2".to_owned()),
        Just("_catalog".into()),
        Just("blobs".into()),
        Just("uploads".into()),
        Just("manifests".into()),
        Just("tags".into()),
        Just("list".into()),
        Just("referrers".into()),
        Just("token".into()),
        Just("team".into()),
        Just("web".into()),
        Just("000000000000".into()),
        Just(format!("sha256:{}", "0".repeat(64))),
        Just("01234567-89ab-7def-8123-456789abcdef".into()),
        "[a-zA-Z0-9:._%-]{0,12}",
        "(%[0-9a-f]{2}){1,4}",
    ];
    let query = prop_oneof![
        Just(String::new()),
        Just(format!("?digest=sha256:{}", "0".repeat(64))),
        "\\?(n|last|digest|mount|from|tag|scope|artifactType|digest-algorithm)=[a-z0-9:%/,*+-]{0,20}",
        "\\?[a-z0-9=&%:+]{0,30}",
    ];
    (prop::collection::vec(segment, 0..7), any::<bool>(), query).prop_map(|(segments, is_v2, query)| {
        format!("/{}{}{query}", if is_v2 { "v2/" } else { "" }, segments.join("/"))
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "bytes=[0-9]{0,4}-[0-9]{0,4}",
        "[0-9]{1,21}-[0-9]{1,21}",
        "[0-9]{1,20}",
        "Basic [A-Za-z0-9+/=]{0,20}",
        "Bearer [a-z]{0,10}",
        "[ -~]{0,40}",
        Just("application/vnd.oci.image.manifest.v1+json".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn no_request_is_answered_with_a_failure_of_ours(
        method in prop::sample::select(&METHODS[..]),
        path in path(),
        headers in prop::collection::vec((prop::sample::select(&HEADERS[..]), value()), 0..4),
        is_admin in any::<bool>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        // Only what HTTP itself lets through reaches a handler.
        prop_assume!(path.parse::<Uri>().is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let plane = Plane::new();
            let mut ask = Ask::new(Method::from_bytes(method.as_bytes()).unwrap(), &path);
            if is_admin {
                ask = ask.by("admin");
            }
            let mut ask = ask.body(body);
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    ask.headers.insert(HeaderName::from_static(name), value);
                }
            }
            let answer = plane.send(ask).await;
            prop_assert!(answer.status.as_u16() < 500, "{method} {path}: {answer}");
            if !answer.status.is_success() && method != "HEAD" && !answer.status.is_redirection() {
                // An unsatisfiable range is the one error whose headers say everything.
                let is_range = answer.status == http::StatusCode::RANGE_NOT_SATISFIABLE;
                prop_assert!(is_range || !answer.code().is_empty());
            }
            Ok(())
        })?;
    }
}
