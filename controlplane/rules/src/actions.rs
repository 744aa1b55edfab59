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

/// The services whose actions are decided here.
const SERVICES: [&str; 6] = ["ecr", "iam", "sts", "organizations", "cloudtrail", "hythe"];

/// Actions of AWS that nothing here asks for and that stand in policies which are written for it (Service Authorization
/// Reference, "Amazon Elastic Container Registry", and what usually stands beside them).
const ELSEWHERE: [&str; 32] = [
    "ecr:BatchGetRepositoryScanningConfiguration",
    "ecr:DeleteSigningConfiguration",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeImageSigningStatus",
    "ecr:DescribeRepositoryCreationTemplate",
    "ecr:GetImageCopyStatus",
    "ecr:GetRegistryScanningConfiguration",
    "ecr:GetSigningConfiguration",
    "ecr:ListImageReferrers",
    "ecr:PutRegistryScanningConfiguration",
    "ecr:PutSigningConfiguration",
    "ecr:StartImageScan",
    "iam:CreateServiceLinkedRole",
    "iam:GetGroup",
    "iam:GetOpenIDConnectProvider",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:ListAttachedGroupPolicies",
    "iam:ListAttachedRolePolicies",
    "iam:ListAttachedUserPolicies",
    "iam:ListGroupsForUser",
    "iam:ListPolicyVersions",
    "iam:PassRole",
    "sts:AssumeRoleWithSAML",
    "sts:DecodeAuthorizationMessage",
    "sts:GetCallerIdentity",
    "sts:GetFederationToken",
    "sts:GetServiceBearerToken",
    "sts:GetSessionToken",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

/// Names that differ in more letters than this are not alike.
const MAX_DIFFERENT: usize = 2;

/// Whether a pattern of actions of a service that is decided here covers none, here or in AWS: most likely a slip.
pub(crate) fn is_strange(pattern: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let Some((service, _)) = pattern.split_once(':') else {
        return false;
    };
    let glob = Glob::plain(&pattern);
    let mut known = Action::ALL.iter().map(|action| action.as_str()).chain(ELSEWHERE);
    SERVICES.contains(&service) && !known.any(|name| glob.covers_plain(&name.to_ascii_lowercase()))
}

/// The action whose name is most like `text`, if one is.
pub(crate) fn alike(text: &str) -> Option<Action> {
    let text = text.to_ascii_lowercase();
    let distance = |action: &&Action| different(&text, &action.as_str().to_ascii_lowercase());
    let nearest = Action::ALL.iter().min_by_key(distance)?;
    (distance(&nearest) <= MAX_DIFFERENT).then_some(*nearest)
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn different(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, byte) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), index + 1);
        let mut left = index + 1;
        for (cell, next) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = diagonal + usize::from(byte != next);
            diagonal = *cell;
            left = changed.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_what_aws_has() {
        let cases = [
            ("*", false),
            ("ecr:*", false),
            ("ECR:batchgetimage", false),
            ("ecr:GetDownloadUrlForLayers", true),
            ("ecr:Batch*Images", true),
            ("ecr:DescribeImageScanFindings", false),
            ("ecr:Scan*", true),
            ("sts:TagSession", false),
            ("sts:AssumeRoles", true),
            ("iam:PassRole", false),
            ("iam:*Rolle", true),
            ("s3:GetObjekt", false),
        ];
        for (pattern, want) in cases {
            assert_eq!(is_strange(pattern), want, "{pattern}");
        }
        let cases = [
            ("ecr:GetDownloadUrlForLayers", Some(Action::GetDownloadUrlForLayer)),
            ("ecr:batchgetimages", Some(Action::BatchGetImage)),
            ("ecr:DownloadAll", None),
            ("sts:AssumeRol", Some(Action::AssumeRole)),
        ];
        for (text, want) in cases {
            assert_eq!(alike(text), want, "{text}");
        }
        assert_eq!((different("", "ab"), different("kitten", "sitting")), (2, 3));
    }

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
