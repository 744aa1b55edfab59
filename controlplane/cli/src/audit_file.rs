// SPDX-License-Identifier: Apache-2.0
//! Checking an export of the audit log without the server that made it. How hashes are made is documented in
//! `docs/audit.md`; this is written from there.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use hythe_model::{from_millis, millis};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::error::{CliError, file};
use crate::table::Table;

/// The longest line, in bytes.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// How many bytes a hash has.
const HASH_BYTES: usize = 32;

/// What a file has shown.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    records: u64,
    gaps: u64,
    first_sequence: u64,
    last_sequence: u64,
    last_hash: String,
}

/// Checks every line of a file that `hythe audit export` wrote.
pub(crate) fn verify(context: &Context, path: &Path, allow_gaps: bool) -> Result<(), CliError> {
    let mut lines = BufReader::new(File::open(path).map_err(file("open", path))?);
    let mut checked = Checked::default();
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        if read.map_err(file("read", path))? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let at = checked.last_sequence + 1;
        let tampered = |sequence: u64, reason: String| CliError::Tampered { sequence, reason };
        let Record {
            sequence,
            previous_hash,
            hash,
            content,
        } = Record::read(&line).ok_or_else(|| {
            tampered(
                at,
                format!("line {} is no record with its place in the chain", checked.records + 1),
            )
        })?;
        let is_first = checked.records == 0;
        if !is_first && sequence <= checked.last_sequence {
            let reason = format!("record {sequence} comes after record {}", checked.last_sequence);
            return Err(tampered(sequence, reason));
        }
        let is_next = is_first || sequence == at;
        if !is_next && !allow_gaps {
            return Err(tampered(
                at,
                format!("the records {at} to {} are not there", sequence - 1),
            ));
        }
        let follows = is_first || !is_next || previous_hash == checked.last_hash;
        if !follows || hash_of(&previous_hash, sequence, content).as_deref() != Some(&hash) {
            return Err(tampered(
                sequence,
                format!("record {sequence} is not as it was written"),
            ));
        }
        if is_first {
            checked.first_sequence = sequence;
        }
        checked.gaps += u64::from(!is_next);
        checked.records += 1;
        (checked.last_sequence, checked.last_hash) = (sequence, hash);
    }
    context.writer.answer(&checked, || {
        Table::fields([
            ("records", checked.records.to_string()),
            ("first", checked.first_sequence.to_string()),
            ("gaps", checked.gaps.to_string()),
            ("through", format!("{}:{}", checked.last_sequence, checked.last_hash)),
            ("is intact", "yes".to_owned()),
        ])
    })
}

/// One line.
struct Record {
    sequence: u64,
    previous_hash: String,
    hash: String,
    /// The record without its place in the chain.
    content: Map<String, Value>,
}

impl Record {
    fn read(line: &[u8]) -> Option<Self> {
        let mut content: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let integrity = content.shift_remove("integrity")?;
        let text = |name: &str| Some(integrity.get(name)?.as_str()?.to_owned());
        Some(Self {
            sequence: integrity.get("sequence")?.as_u64().filter(|sequence| *sequence > 0)?,
            previous_hash: text("previousHash")?,
            hash: text("hash")?,
            content,
        })
    }
}

fn hash_of(previous: &str, sequence: u64, mut content: Map<String, Value>) -> Option<String> {
    let mut hasher = Sha256::new();
    hasher.update(unhex(previous)?);
    hasher.update(sequence.to_be_bytes());
    if content.get("eventVersion").and_then(Value::as_str) == Some("1.0") {
        hasher.update(Value::Object(content).to_string());
    } else {
        let mut own = |name: &str| content.shift_remove(name)?.as_str().map(str::to_owned);
        let (time, request, event) = (own("eventTime")?, own("requestID")?, own("eventID")?);
        hasher.update(Sha256::digest(Value::Object(content).to_string()));
        hasher.update(millis_of(&time)?.to_be_bytes());
        hasher.update(number_of(&event, |at| [8, 13, 18, 23].contains(&at), 36)?.to_be_bytes());
        if let Some(number) = number_of(&request, |_| false, 32) {
            hasher.update([1]);
            hasher.update(number.to_be_bytes());
        } else {
            hasher.update([0]);
            hasher.update(request);
        }
    }
    let mut text = String::with_capacity(2 * HASH_BYTES);
    for byte in hasher.finalize() {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

/// A time as records have it, and in no other form: what is not hashed could be changed.
fn millis_of(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    let millis = millis(time);
    (from_millis(millis).to_string() == text).then_some(millis)
}

/// 32 lower-case hexadecimal digits, parted by hyphens at these places.
fn number_of(text: &str, is_hyphen: impl Fn(usize) -> bool, length: usize) -> Option<u128> {
    let is_right = |(at, byte): (usize, u8)| {
        if is_hyphen(at) {
            byte == b'-'
        } else {
            matches!(byte, b'0'..=b'9' | b'a'..=b'f')
        }
    };
    let is_number = text.len() == length && text.bytes().enumerate().all(is_right);
    is_number.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok())?
}

fn unhex(text: &str) -> Option<[u8; HASH_BYTES]> {
    let mut bytes = [0; HASH_BYTES];
    if text.len() != 2 * HASH_BYTES || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;
    use crate::options::GlobalOptions;
    use crate::writer::Writer;

    /// A chain of so many records.
    fn chain(count: u64) -> Vec<String> {
        let mut previous = "0".repeat(64);
        let record = |sequence| {
            // Of both versions, and with ids of both kinds.
            let mut value = json!({
                "eventVersion": if sequence < 3 { "1.0" } else { "1.1" }, "b": sequence, "a": "ü\u{0}\"", "n": null,
                "eventTime": "2026-11-01T00:00:00.5Z",
                "requestID": if sequence == 4 { "mine".to_owned() } else { format!("{sequence:032x}") },
                "eventID": "0190d2a4-0000-7000-8000-000000000001",
            });
            let hash = hash_of(&previous, sequence, value.as_object().unwrap().clone()).unwrap();
            value["integrity"] = json!({"sequence": sequence, "previousHash": previous, "hash": hash});
            previous = hash;
            value.to_string()
        };
        (1..=count).map(record).collect()
    }

    fn check(lines: &[String], allow_gaps: bool) -> Result<(), u64> {
        let options = GlobalOptions {
            quiet: true,
            ..GlobalOptions::default()
        };
        let context = Context::of_process(options.clone(), Writer::new(&options));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        match verify(&context, file.path(), allow_gaps) {
            Ok(()) => Ok(()),
            Err(CliError::Tampered { sequence, .. }) => Err(sequence),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn whatever_was_done_to_a_file_is_found() {
        let good = chain(5);
        assert_eq!(check(&good, false), Ok(()));
        assert_eq!(check(&good[2..], false), Ok(()), "an export may begin anywhere");
        assert_eq!(check(&[], false), Ok(()));
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = good.clone();
            change(&mut lines);
            check(&lines, false)
        };
        assert_eq!(with(&|lines| lines[2] = lines[2].replace("\"b\":3", "\"b\":4")), Err(3));
        for (at, from, to) in [
            (2, "00.5Z", "00.6Z"),
            (2, "00.5Z", "00.5001Z"),
            (2, "00.5Z", "00.5+00:00"),
            (2, "\"eventID\":\"01", "\"eventID\":\"02"),
            (3, "mine", "yours"),
            (2, "1.1", "1.0"),
            (1, "1.0", "1.1"),
        ] {
            let changed = with(&|lines| lines[at] = lines[at].replacen(from, to, 1));
            assert_eq!(changed, Err(at as u64 + 1), "{from} {to}");
        }
        assert_eq!(with(&|lines| drop(lines.remove(2))), Err(3));
        assert_eq!(with(&|lines| lines.swap(2, 3)), Err(3));
        assert_eq!(with(&|lines| lines.insert(3, lines[2].clone())), Err(3));
        assert_eq!(with(&|lines| lines[1] = "{}".into()), Err(2));
        // One that was made anew fits itself and not what follows.
        let other = "0".repeat(64);
        let mut made = json!({"eventVersion": "1.0"});
        let hash = hash_of(&other, 3, made.as_object().unwrap().clone()).unwrap();
        made["integrity"] = json!({"sequence": 3, "previousHash": other, "hash": hash});
        let made = made.to_string();
        assert_eq!(with(&|lines| lines[2].clone_from(&made)), Err(3));
    }

    #[test]
    fn a_selection_may_have_gaps() {
        let mut lines = chain(5);
        lines.remove(2);
        assert_eq!(check(&lines, true), Ok(()));
        lines[2] = lines[2].replace("\"b\":4", "\"b\":5");
        assert_eq!(check(&lines, true), Err(4));
    }
}
