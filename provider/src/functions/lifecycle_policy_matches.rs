// SPDX-License-Identifier: Apache-2.0
//! `lifecycle_policy_matches`.

use hythe_model::Tag;
use hythe_rules::lifecycle::{LifecyclePolicy, RulePriority};
use tfplugin::{Function, FunctionError, Parameters, Result};

/// Tells whether a lifecycle policy may ever take an image with these tags.
///
/// It is true if a rule selects the image to expire it or to archive it, be it now or when the image is old enough, and no
/// rule before that retains all that it selects. With priorities, it is true if one of those rules selects the image,
/// whatever the rule does and whatever the others do.
#[derive(Debug, Parameters)]
pub struct LifecyclePolicyMatches {
    /// The policy as JSON.
    pub policy: String,
    /// The tags of the image; none for an image without tags.
    pub tags: Vec<String>,
    /// The priorities of the rules to look at; all rules if there are none.
    #[tf(variadic)]
    pub priorities: Vec<i64>,
}

impl Function for LifecyclePolicyMatches {
    const NAME: &'static str = "lifecycle_policy_matches";
    type Output = bool;

    fn call(self) -> Result<bool, FunctionError> {
        let policy = LifecyclePolicy::parse(&self.policy)
            .map_err(|error| FunctionError::argument("policy", format!("`{}`: {error}", error.pointer())))?;
        let tags: Result<Vec<Tag>, _> = self.tags.iter().map(|tag| tag.parse::<Tag>()).collect();
        let tags = tags.map_err(|error| FunctionError::argument("tags", error.to_string()))?;
        if self.priorities.is_empty() {
            return Ok(policy.claims(&tags).is_some());
        }
        let mut is_selected = false;
        for number in self.priorities {
            let priority = u32::try_from(number).ok().and_then(RulePriority::new);
            let rule = priority
                .and_then(|priority| policy.rule(priority))
                .ok_or_else(|| FunctionError::new(format!("The policy has no rule with the priority {number}.")))?;
            is_selected |= rule.tags().selects(&tags);
        }
        Ok(is_selected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"rules":[
        {"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["prod*"]},"action":{"type":"retain"}},
        {"rulePriority":2,"selection":{"tagStatus":"tagged","tagPatternList":["*-rc"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}},
        {"rulePriority":3,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}
    ]}"#;

    fn matches(policy: &str, tags: &[&str], priorities: &[i64]) -> Option<bool> {
        let call = LifecyclePolicyMatches {
            policy: policy.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            priorities: priorities.to_vec(),
        };
        call.call().ok()
    }

    #[test]
    fn a_policy_tells_what_it_may_take() {
        let cases: [(&[&str], &[i64], Option<bool>); 10] = [
            (&["prod-1"], &[], Some(false)),
            (&["prod-1-rc"], &[], Some(false)),
            (&["prod-1-rc"], &[2], Some(true)),
            (&["v1-rc"], &[], Some(true)),
            (&["v1"], &[], Some(false)),
            (&[], &[], Some(true)),
            (&[], &[1, 2], Some(false)),
            (&[], &[1, 3], Some(true)),
            (&[], &[4], None),
            (&["-"], &[], None),
        ];
        for (tags, priorities, want) in cases {
            assert_eq!(matches(POLICY, tags, priorities), want, "{tags:?} {priorities:?}");
        }
        assert_eq!(matches("{}", &[], &[]), None);
    }
}
