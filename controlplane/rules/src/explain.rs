// SPDX-License-Identifier: Apache-2.0
//! Why a request is allowed or not, with everything that was looked at.

use crate::context::Request;
use crate::evaluate::{Candidate, Decision, Facts, Policies, StatementRef, decide};

/// A decision with all statements that are about the request.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The answer.
    pub decision: Decision<'a>,
    /// The statements that apply, in the order of their policies.
    pub matched: Vec<StatementRef<'a>>,
    /// The statements that would apply but for a condition.
    pub near: Vec<NearMiss<'a>>,
}

/// A statement that is about the action, the resource and the principal of a request, and whose condition does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss<'a> {
    /// The statement.
    pub statement: StatementRef<'a>,
    /// The first condition that does not hold: operator and key.
    pub condition: String,
}

/// Decides as [`decide`] does, and lists all statements that are about the request.
#[must_use]
pub fn explain<'a>(request: &Request<'_>, policies: &Policies<'a>) -> Explanation<'a> {
    let facts = Facts::of(request);
    let mut candidates = Vec::new();
    if facts.image_tags.len() < 2 {
        policies.candidates(&facts, &mut candidates);
    }
    for tag in facts.image_tags.iter().filter(|_| facts.image_tags.len() > 1) {
        let image_tags = std::slice::from_ref(tag);
        policies.candidates(&Facts { image_tags, ..facts }, &mut candidates);
    }
    let (mut matched, mut near) = (Vec::new(), Vec::new());
    for Candidate { statement, unless } in candidates {
        match unless {
            None if !matched.contains(&statement) => matched.push(statement),
            Some(condition) => {
                let miss = NearMiss {
                    statement,
                    condition: condition.to_string(),
                };
                if !near.contains(&miss) {
                    near.push(miss);
                }
            }
            None => {}
        }
    }
    Explanation {
        decision: decide(request, policies),
        matched,
        near,
    }
}
