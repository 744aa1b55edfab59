// SPDX-License-Identifier: Apache-2.0
//! Sets of actions: what the patterns of a statement come to, worked out once.

use hythe_access::Action;

use crate::glob::Glob;

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = 4;
const _: () = assert!(
    Action::ALL.len() <= WORDS * WORD_BITS,
    "an action has no bit: add a word"
);

/// A set of actions, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActionSet([u64; WORDS]);

impl ActionSet {
    /// The actions that one of `patterns` covers, or none of them with `is_all_but`; without regard to case (IAM,
    /// "Action").
    pub(crate) fn of<'a>(patterns: impl Iterator<Item = &'a str>, is_all_but: bool) -> Self {
        let globs: Vec<Glob> = patterns
            .map(|pattern| Glob::plain(&pattern.to_ascii_lowercase()))
            .collect();
        let mut set = Self::default();
        for action in Action::ALL {
            let name = action.as_str().to_ascii_lowercase();
            if globs.iter().any(|glob| glob.covers_plain(&name)) != is_all_but {
                set.insert(*action);
            }
        }
        set
    }

    pub(crate) fn insert(&mut self, action: Action) {
        let at = action as usize;
        if let Some(word) = self.0.get_mut(at / WORD_BITS) {
            *word |= 1 << (at % WORD_BITS);
        }
    }

    pub(crate) fn contains(self, action: Action) -> bool {
        let at = action as usize;
        self.0
            .get(at / WORD_BITS)
            .is_some_and(|word| word >> (at % WORD_BITS) & 1 == 1)
    }

    pub(crate) fn union(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(to, from)| *to |= from);
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_sets_without_regard_to_case() {
        let cases: [(&[&str], bool, Action, bool); 8] = [
            (&["*"], false, Action::CreateUser, true),
            (&["ECR:batchgetimage"], false, Action::BatchGetImage, true),
            (&["ecr:Batch*"], false, Action::BatchGetImage, true),
            (&["ecr:Batch*"], false, Action::PutImage, false),
            (&["ecr:?utImage"], false, Action::PutImage, true),
            (&["ecr:Batch*"], true, Action::PutImage, true),
            (&["ecr:Batch*"], true, Action::BatchGetImage, false),
            (&["ecr:PutImage", "iam:*"], false, Action::CreateUser, true),
        ];
        for (patterns, is_all_but, action, want) in cases {
            let set = ActionSet::of(patterns.iter().copied(), is_all_but);
            assert_eq!(set.contains(action), want, "{patterns:?} {is_all_but} {action}");
        }
    }
}
