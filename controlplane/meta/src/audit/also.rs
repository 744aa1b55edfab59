// SPDX-License-Identifier: Apache-2.0
//! What a record is found by, besides the columns of its row: a request may be the business of two accounts, move a tag
//! from one digest to another, and have an id of its client's making. All of it is made from the record, so that the
//! check of the chain finds out if somebody has filed it under something else.

use std::collections::BTreeSet;

use hythe_access::RequestId;
use hythe_model::{AccountId, Digest};
use serde_json::Value;

use super::run::Member;

/// Records of these versions were written before this was noted.
const VERSIONS_BEFORE: [&str; 2] = ["1.0", "1.1"];

/// The entries of records that share `record`, in order.
pub(crate) fn entries(record: &Value, members: &[Member]) -> BTreeSet<String> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let mut entries = BTreeSet::new();
    if text("/eventVersion").is_none_or(|version| VERSIONS_BEFORE.contains(&version)) {
        return entries;
    }
    let asking = text("/userIdentity/accountId").filter(|account| Some(*account) != text("/recipientAccountId"));
    entries.extend(asking.map(|account| format!("account:{account}")));
    let moves = record.get("tagMoves").and_then(Value::as_array);
    for moved in moves.into_iter().flatten() {
        let digests = ["fromDigest", "toDigest"].map(|end| moved.get(end).and_then(Value::as_str));
        let others = digests.into_iter().flatten();
        let others = others.filter(|digest| Some(*digest) != text("/imageDigest"));
        entries.extend(others.map(|digest| format!("digest:{digest}")));
    }
    let untimely = members.iter().filter(|member| !member.request.is_of(member.at));
    entries.extend(untimely.map(|member| of_request(&member.request)));
    entries
}

pub(crate) fn of_account(account: &AccountId) -> String {
    format!("account:{account}")
}

pub(crate) fn of_digest(digest: &Digest) -> String {
    format!("digest:{digest}")
}

pub(crate) fn of_request(request: &RequestId) -> String {
    format!("request:{request}")
}

#[cfg(test)]
mod tests {
    use hythe_model::from_millis;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_filed_under_what_its_row_has_no_column_for() {
        let at = from_millis(1_700_000_000_000);
        let member = |request| Member { at, request };
        let made_up = || member(RequestId::Text("mine".into()));
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let moved = |from: &str, to: &str| {
            json!({
                "eventVersion": "1.2", "imageDigest": digest("b"),
                "tagMoves": [{"imageTag": "v1", "fromDigest": from, "toDigest": to}, {"imageTag": "v2", "fromDigest": null, "toDigest": to}],
            })
        };
        let between = |asking: Value, asked: Value| json!({"eventVersion": "1.2", "userIdentity": {"accountId": asking}, "recipientAccountId": asked});
        let cases = [
            ("nothing", json!({"eventVersion": "1.2"}), vec![], vec![]),
            ("one account", between("1".into(), "1".into()), vec![], vec![]),
            (
                "two accounts",
                between("1".into(), "2".into()),
                vec![],
                vec!["account:1".to_owned()],
            ),
            ("nobody of an account", between(Value::Null, "2".into()), vec![], vec![]),
            (
                "nothing of an account",
                between("1".into(), Value::Null),
                vec![],
                vec!["account:1".to_owned()],
            ),
            (
                "a moved tag",
                moved(&digest("a"), &digest("b")),
                vec![],
                vec![format!("digest:{}", digest("a"))],
            ),
            ("a deleted tag", moved(&digest("b"), &digest("b")), vec![], vec![]),
            (
                "ids",
                json!({"eventVersion": "1.2"}),
                vec![
                    made_up(),
                    member(RequestId::at(at, 7)),
                    member(RequestId::Number(7)),
                    made_up(),
                ],
                vec![format!("request:{:032x}", 7), "request:mine".to_owned()],
            ),
            (
                "an old record",
                json!({"eventVersion": "1.1", "userIdentity": {"accountId": "1"}}),
                vec![made_up()],
                vec![],
            ),
        ];
        for (what, record, members, expected) in cases {
            assert_eq!(Vec::from_iter(entries(&record, &members)), expected, "{what}");
        }
    }
}
