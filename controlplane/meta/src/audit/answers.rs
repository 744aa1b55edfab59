// SPDX-License-Identifier: Apache-2.0
//! What clients are told about changes. The record of a change is written in its transaction, before there is an answer;
//! the answer is added when the record gets its place in the chain, about half a second later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hythe_access::{Answer, Answered};

/// The most records of changes whose answers are waited for; further ones go without.
const MAX_AWAITED: usize = 65_536;
/// How many passes a record waits for its answer, at most.
const MAX_PASSES: u8 = 2;

/// Records of changes that have no place in the chain yet, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<HashMap<String, Awaited>>);

#[derive(Debug)]
struct Awaited {
    answer: Arc<Answer>,
    passes: u8,
}

/// What is known of the answer to a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was given.
    Told(Answered),
    /// It will be given soon.
    Soon,
    /// It will not be known here.
    Never,
}

impl Answers {
    /// Waits for the answer that belongs to the record.
    pub(crate) fn expect(&self, record: &str, answer: Arc<Answer>) {
        let mut awaited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if awaited.len() >= MAX_AWAITED {
            // Those of changes that were rolled back are left.
            awaited.retain(|_, awaited| Arc::strong_count(&awaited.answer) > 1);
        }
        if awaited.len() < MAX_AWAITED {
            awaited.insert(record.to_owned(), Awaited { answer, passes: 0 });
        }
    }

    /// To be asked by each pass that could give the record its place.
    pub(crate) fn known(&self, record: &str) -> Known {
        let mut awaited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(awaited) = awaited.get_mut(record) else {
            return Known::Never;
        };
        if let Some(told) = awaited.answer.get() {
            return Known::Told(told.clone());
        }
        let is_open = Arc::strong_count(&awaited.answer) > 1 && awaited.passes < MAX_PASSES;
        awaited.passes = awaited.passes.saturating_add(1);
        if is_open { Known::Soon } else { Known::Never }
    }

    /// The records have got their places.
    pub(crate) fn forget<'r>(&self, records: impl Iterator<Item = &'r str>) {
        let mut awaited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            awaited.remove(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use hythe_access::{Facts, RequestId, Trail};

    use super::*;

    #[test]
    fn a_record_waits_for_its_answer_and_not_for_ever() {
        let trail = || Trail::new(jiff::Timestamp::UNIX_EPOCH, RequestId::Number(1), Facts::default());
        let (answers, [told, slow, gone]) = (Answers::default(), [trail(), trail(), trail()]);
        for (record, trail) in [("told", &told), ("slow", &slow), ("gone", &gone)] {
            answers.expect(record, trail.answer());
        }
        drop(gone);
        assert_eq!(answers.known("told"), Known::Soon);
        told.set_answer(201, None);
        assert!(matches!(
            answers.known("told"),
            Known::Told(Answered { status: 201, .. })
        ));
        assert_eq!(answers.known("gone"), Known::Never);
        assert_eq!(answers.known("of another node"), Known::Never);
        let slow_ones: Vec<_> = (0..3).map(|_| answers.known("slow")).collect();
        assert_eq!(slow_ones, [Known::Soon, Known::Soon, Known::Never]);
        answers.forget(["told"].into_iter());
        assert_eq!(answers.known("told"), Known::Never);
    }
}
