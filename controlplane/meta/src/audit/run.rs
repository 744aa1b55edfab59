// SPDX-License-Identifier: Apache-2.0
//! Records that differ in time and id only, stored together: a busy registry is asked for the same by the same again
//! and again, and a row for each would cost more than the pull.

use std::fmt::Write as _;

use hythe_access::RequestId;
use hythe_model::{from_millis, millis};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::chain::ChainPosition;
use crate::StoreError;
use crate::session::corrupt;

/// The most records in a run.
pub const MAX_RUN_RECORDS: usize = 1000;
/// The longest time from the first record of a run to its last, in milliseconds.
pub const MAX_RUN_MILLIS: i64 = 10_000;

/// One record, without what it shares with the others of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// When the request began.
    pub at: Timestamp,
    /// The id of the request.
    pub request: RequestId,
}

/// Records that differ in time and id only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    id: Uuid,
    /// A JSON object without its last brace.
    shared: String,
    /// Its hash, if the hash of a record is over that; `None` in records of version 1.0, where it is over their text.
    shared_hash: Option<[u8; 32]>,
    members: Vec<Member>,
}

/// How records of the first version begin.
const VERSION_1_0: &str = "{\"eventVersion\":\"1.0\"";

impl Run {
    /// `shared` is a JSON object that is not empty.
    pub(crate) fn read(id: &str, shared: &str, members: &str) -> Result<Self, StoreError> {
        let members = decode(members).ok_or_else(|| corrupt("the times of an audit record cannot be read"))?;
        Self::new(id.parse().map_err(corrupt)?, shared, members)
    }

    pub(crate) fn new(id: Uuid, shared: &str, members: Vec<Member>) -> Result<Self, StoreError> {
        let open = shared
            .strip_suffix('}')
            .ok_or_else(|| corrupt("a record of the audit log is no JSON object"))?;
        Ok(Self {
            id,
            shared: open.to_owned(),
            shared_hash: (!shared.starts_with(VERSION_1_0)).then(|| Sha256::digest(shared).into()),
            members,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    fn event_id(&self, index: usize) -> Uuid {
        Uuid::from_u128(self.id.as_u128().wrapping_add(index as u128))
    }

    /// The place in the chain after one record, which comes after `before`.
    pub(crate) fn link(&self, index: usize, before: ChainPosition) -> ChainPosition {
        let (Some(member), Some(shared)) = (self.members.get(index), &self.shared_hash) else {
            let mut text = Vec::new();
            self.write(index, &mut text);
            return before.after(&text);
        };
        before.after_parts(
            shared,
            millis(member.at),
            self.event_id(index).as_u128(),
            &member.request,
        )
    }

    /// Writes one record as JSON: always the same bytes.
    pub(crate) fn write(&self, index: usize, into: &mut Vec<u8>) {
        let Some(member) = self.members.get(index) else { return };
        into.extend_from_slice(self.shared.as_bytes());
        let id = self.event_id(index);
        let request = match &member.request {
            number @ RequestId::Number(_) => format!("\"{number}\""),
            RequestId::Text(text) => serde_json::Value::from(&**text).to_string(),
        };
        let tail = format!(
            ",\"eventTime\":\"{}\",\"requestID\":{request},\"eventID\":\"{id}\"}}",
            member.at
        );
        into.extend_from_slice(tail.as_bytes());
    }
}

/// An id for a run that begins then. Ids sort by time.
pub(crate) fn new_id(at: Timestamp) -> Uuid {
    let time = u64::try_from(millis(at)).unwrap_or(0);
    let seconds = time / 1000;
    let nanos = u32::try_from(time % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// The first id of that time.
pub(crate) fn first_id(at: Timestamp) -> String {
    let time = u128::try_from(millis(at)).unwrap_or(0);
    Uuid::from_u128((time << 80) & (u128::MAX << 80)).to_string()
}

/// Members whose ids are told without their times begin with this; those that older servers wrote, with their ids as they
/// are, do not.
const TIMELESS: char = '@';

/// What is left of an id without the time of its request: of those that are made here, numbers that follow each other.
fn timeless(number: u128, at: i64) -> u128 {
    number.wrapping_sub(time_of_id(at))
}

fn time_of_id(at: i64) -> u128 {
    u128::from(at.cast_unsigned()) << 80
}

/// `milliseconds;id`, of each but the first the difference to the one before; an id of the client's own after `=`.
/// `*n` after it: n times the same.
pub(crate) fn encode(members: &[Member]) -> String {
    let mut text = String::with_capacity(64);
    text.push(TIMELESS);
    let (mut time, mut number) = (0, 0_u128);
    let (mut last, mut times) = (String::new(), 0_usize);
    let mut part = String::with_capacity(48);
    for member in members {
        part.clear();
        let now = millis(member.at);
        let since = now - time;
        time = now;
        match &member.request {
            RequestId::Number(own) => {
                let own = &timeless(*own, now);
                let (ahead, behind) = (own.wrapping_sub(number), number.wrapping_sub(*own));
                number = *own;
                let _ = match ahead {
                    // As it is for all but a few of a busy registry.
                    1 if since == 0 => {
                        part.push_str("0;1");
                        Ok(())
                    }
                    _ if behind < ahead => write!(part, "{since};-{behind:x}"),
                    _ => write!(part, "{since};{ahead:x}"),
                };
            }
            RequestId::Text(own) => {
                let _ = write!(part, "{since};={own}");
            }
        }
        // What the client made up may itself have a star in it.
        if part == last && matches!(member.request, RequestId::Number(_)) {
            times += 1;
        } else {
            push_part(&mut text, &last, times);
            std::mem::swap(&mut part, &mut last);
            times = 1;
        }
    }
    push_part(&mut text, &last, times);
    text
}

fn push_part(text: &mut String, part: &str, times: usize) {
    if times == 0 {
        return;
    }
    if text.len() > TIMELESS.len_utf8() {
        text.push(' ');
    }
    text.push_str(part);
    if times > 1 {
        let _ = write!(text, "*{times}");
    }
}

fn decode(text: &str) -> Option<Vec<Member>> {
    let (mut time, mut number) = (0_i64, 0_u128);
    let mut members = Vec::new();
    let (text, is_timeless) = match text.strip_prefix(TIMELESS) {
        Some(text) => (text, true),
        None => (text, false),
    };
    for part in text.split(' ') {
        let (delta, id) = part.split_once(';')?;
        let delta: i64 = delta.parse().ok()?;
        let (id, times) = match id.split_once('*') {
            Some((id, times)) if !id.starts_with('=') => (id, times.parse().ok()?),
            _ => (id, 1),
        };
        if members.len() + times > MAX_RUN_RECORDS {
            return None;
        }
        for _ in 0..times {
            time = time.checked_add(delta)?;
            let of_time = if is_timeless { time_of_id(time) } else { 0 };
            let request = match (id.strip_prefix('='), id.strip_prefix('-')) {
                (Some(own), _) => RequestId::Text(own.into()),
                (None, Some(behind)) => {
                    number = number.wrapping_sub(u128::from_str_radix(behind, 16).ok()?);
                    RequestId::Number(number.wrapping_add(of_time))
                }
                (None, None) => {
                    number = number.wrapping_add(u128::from_str_radix(id, 16).ok()?);
                    RequestId::Number(number.wrapping_add(of_time))
                }
            };
            members.push(Member {
                at: from_millis(time),
                request,
            });
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(at: i64, request: RequestId) -> Member {
        Member {
            at: from_millis(at),
            request,
        }
    }

    #[test]
    fn a_record_is_its_run_with_its_own_time_and_ids() {
        let members = [
            member(1_700_000_000_000, RequestId::Number(255)),
            member(1_700_000_000_123, RequestId::Text("a\"b".into())),
        ];
        let id = new_id(members[0].at);
        let run = Run::read(&id.to_string(), r#"{"a":1}"#, &encode(&members)).unwrap();
        let mut text = Vec::new();
        run.write(1, &mut text);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["a"], 1);
        assert_eq!(value["eventTime"], "2023-11-14T22:13:20.123Z");
        assert_eq!(value["requestID"], "a\"b");
        assert_eq!(value["eventID"], Uuid::from_u128(id.as_u128() + 1).to_string());
        assert_eq!(
            value.to_string().as_bytes(),
            text,
            "writing it again makes the same bytes"
        );
        assert!(
            run.member(2).is_none() && Run::read("x", "{}", "").is_err() && Run::read(&id.to_string(), "", "").is_err()
        );
    }

    #[test]
    fn what_is_alike_takes_no_room() {
        let at = |number: u64| {
            let at = 1_700_000_000_000 + i64::try_from(number / 100).unwrap();
            member(at, RequestId::at(from_millis(at), number.into()))
        };
        let members: Vec<_> = (7..1007).map(at).collect();
        let text = encode(&members);
        assert!(text.len() < 200, "{text}");
        assert_eq!(decode(&text).unwrap(), members);
        let stars = [
            member(1, RequestId::Text("a*2".into())),
            member(1, RequestId::Text("a*2".into())),
        ];
        assert_eq!(decode(&encode(&stars)).unwrap(), stars);
        assert!(decode("0;1*1000000000").is_none());
        // As older servers wrote them.
        let old = [member(5, RequestId::Number(7)), member(5, RequestId::Number(8))];
        assert_eq!(decode("5;7 0;1").unwrap(), old);
    }

    #[test]
    fn each_version_has_its_hash() {
        let members = [member(1_700_000_000_000, RequestId::Number(255))];
        let run = |shared: &str| Run::new(Uuid::from_u128(7), shared, members.to_vec()).unwrap();
        let old = run(r#"{"eventVersion":"1.0","a":1}"#);
        let mut text = Vec::new();
        old.write(0, &mut text);
        assert_eq!(old.link(0, ChainPosition::START), ChainPosition::START.after(&text));
        let shared = r#"{"eventVersion":"1.1","a":1}"#;
        let expected = [
            &[0; 32][..],
            &1_u64.to_be_bytes(),
            &Sha256::digest(shared),
            &1_700_000_000_000_i64.to_be_bytes(),
            &7_u128.to_be_bytes(),
            &[1],
            &255_u128.to_be_bytes(),
        ];
        let hash: [u8; 32] = Sha256::digest(expected.concat()).into();
        assert_eq!(
            run(shared).link(0, ChainPosition::START),
            ChainPosition { sequence: 1, hash }
        );
    }

    #[test]
    fn ids_sort_by_time() {
        let times = [0, 1, 999, 1000, 1_700_000_000_000, 1_700_000_000_001].map(from_millis);
        for pair in times.windows(2) {
            let (early, late) = (new_id(pair[0]).to_string(), new_id(pair[1]).to_string());
            assert!(
                early < late && first_id(pair[0]) <= early && early < first_id(pair[1]),
                "{early} {late}"
            );
        }
    }

    proptest! {
        #[test]
        fn members_survive(members in prop::collection::vec(
            (0_i64..4_000_000_000_000, prop_oneof![any::<u128>().prop_map(RequestId::Number), "[!-~]{1,20}".prop_map(|text| RequestId::Text(text.as_str().into()))]),
            1..20,
        )) {
            let members: Vec<_> = members.into_iter().map(|(at, request)| member(at, request)).collect();
            prop_assert_eq!(decode(&encode(&members)).unwrap(), members);
        }

        #[test]
        fn decoding_never_panics(text in ".*") {
            let _ = decode(&text);
        }
    }
}
