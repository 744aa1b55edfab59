// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies as documents.

use serde_json::json;

use super::error::LifecyclePolicyError as Error;
use super::grammar::{self, Dialect, Object};
use super::rule::{LifecycleRule, RulePriority};
use super::tags::TagSelection;
use crate::json::Node;

/// The longest policy text, in characters (ECR API, `LifecyclePolicyText`). The shortest, 100, needs no check: no policy
/// of ECR's is shorter.
pub const MAX_LIFECYCLE_POLICY_CHARS: usize = 30_720;
/// The most rules of a policy (ECR, "Amazon ECR service quotas").
pub const MAX_LIFECYCLE_RULES: usize = 50;

/// A lifecycle policy.
///
/// Invariant: 1 to [`MAX_LIFECYCLE_RULES`] rules in the order of their priorities, which differ. Per storage class and
/// among the rules that take images, one at most selects all images, and it is the last; one at most selects untagged
/// images; and no two have the same list of tags (ECR, "Lifecycle policy properties").
#[derive(Clone, Debug)]
pub struct LifecyclePolicy {
    rules: Box<[LifecycleRule]>,
    canonical: Box<str>,
}

impl LifecyclePolicy {
    /// Reads a policy, also one that uses what ECR does not have.
    ///
    /// # Errors
    /// The first thing that is wrong with the text, with its place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text, Dialect::Extended)
    }

    /// Reads a policy that ECR would accept too.
    ///
    /// # Errors
    /// The first thing that is wrong with the text, with its place.
    pub fn parse_strict(text: &str) -> Result<Self, Error> {
        Self::read(text, Dialect::Ecr)
    }

    fn read(text: &str, dialect: Dialect) -> Result<Self, Error> {
        let chars = text.chars().count();
        if chars > MAX_LIFECYCLE_POLICY_CHARS {
            let reason = format!("string is too long (length: {chars}, maximum allowed: {MAX_LIFECYCLE_POLICY_CHARS})");
            return Err(Error::new("", reason));
        }
        let document: Node =
            serde_json::from_str(text).map_err(|error| Error::unreadable("", &format!("It is not JSON: {error}.")))?;
        if !matches!(document, Node::Object(_)) {
            return Err(Error::unreadable("", "It is not an object with `rules`."));
        }
        let members = Object::read(&document, "", &["rules"])?;
        let [rules] = members.required(["rules"])?;
        let Node::List(nodes) = rules else {
            return Err(Error::wrong_type("/rules", rules, "array"));
        };
        let count = nodes.len();
        if count == 0 {
            return Err(Error::new(
                "/rules",
                "array is too short: must have at least 1 elements but instance has 0 elements",
            ));
        }
        if count > MAX_LIFECYCLE_RULES {
            let reason = format!(
                "array is too long: must have at most {MAX_LIFECYCLE_RULES} elements but instance has {count} elements"
            );
            return Err(Error::new("/rules", reason));
        }
        let mut rules = Vec::with_capacity(count);
        for (index, node) in nodes.iter().enumerate() {
            let at = format!("/rules/{index}");
            let rule = grammar::rule(node, &at, dialect)?;
            rules.push((at, rule));
        }
        agree(&rules)?;
        let mut rules: Vec<LifecycleRule> = rules.into_iter().map(|(_, rule)| rule).collect();
        rules.sort_by_key(LifecycleRule::priority);
        let mut canonical = json!({ "rules": rules.iter().map(LifecycleRule::canonical).collect::<Vec<_>>() });
        // Whether members keep their order depends on what else is built with this.
        canonical.sort_all_objects();
        Ok(Self {
            rules: rules.into(),
            canonical: canonical.to_string().into(),
        })
    }

    /// The rules, in the order of their priorities.
    #[must_use]
    pub fn rules(&self) -> &[LifecycleRule] {
        &self.rules
    }

    /// The rule with this priority.
    #[must_use]
    pub fn rule(&self, priority: RulePriority) -> Option<&LifecycleRule> {
        let at = self.rules.binary_search_by_key(&priority, LifecycleRule::priority);
        at.ok().and_then(|at| self.rules.get(at))
    }

    /// The one text that all documents have which say the same: without regard to the order of rules, members and tags,
    /// to tags that stand twice, and to members with their default.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether both say the same.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }

    /// The rule that may take an image with these tags, sooner or later: the first that selects it for an action, unless
    /// one before it retains all that it selects. An image that it spares is safe from every other rule.
    pub fn claims<T: AsRef<str>>(&self, tags: &[T]) -> Option<&LifecycleRule> {
        let selects = |rule: &&LifecycleRule| rule.tags().selects(tags);
        let decides = |rule: &&LifecycleRule| rule.takes() || rule.count().is_none();
        let first = self.rules.iter().filter(selects).find(decides);
        first.filter(|rule| rule.takes())
    }
}

/// Two policies are equal if they say the same.
impl PartialEq for LifecyclePolicy {
    fn eq(&self, other: &Self) -> bool {
        self.is_equivalent(other)
    }
}

impl Eq for LifecyclePolicy {}

/// Whether the rules go together.
fn agree(rules: &[(String, LifecycleRule)]) -> Result<(), Error> {
    for (index, (at, rule)) in rules.iter().enumerate() {
        let before = || rules.iter().take(index).map(|(_, rule)| rule);
        if before().any(|other| other.priority == rule.priority) {
            let reason = format!("Duplicate priority in multiple rules: {}", rule.priority);
            return Err(Error::new(&format!("{at}/rulePriority"), reason));
        }
        if !rule.takes() {
            continue;
        }
        let of_class = |other: &&LifecycleRule| other.storage_class == rule.storage_class;
        let is_repeated = before()
            .filter(of_class)
            .any(|other| other.takes() && other.tags == rule.tags);
        match &rule.tags {
            TagSelection::Any if is_repeated => {
                return Err(Error::new(
                    &format!("{at}/selection/tagStatus"),
                    "Only one rule can specify tagStatus=ANY per storage class",
                ));
            }
            TagSelection::Untagged if is_repeated => {
                return Err(Error::new(
                    &format!("{at}/selection/tagStatus"),
                    "Only one rule can select Untagged images per storage class",
                ));
            }
            TagSelection::Tagged(_) if is_repeated => {
                let name = rule.tags.list().map_or("", |(name, _)| name);
                return Err(Error::new(
                    &format!("{at}/selection/{name}"),
                    format!("Duplicate {name} in multiple rules per storage class"),
                ));
            }
            _ => {}
        }
        let mut others = rules.iter().map(|(_, rule)| rule).filter(of_class);
        if rule.tags == TagSelection::Any && others.any(|other| other.priority > rule.priority) {
            return Err(Error::new(
                &format!("{at}/rulePriority"),
                "Rule for tagStatus=ANY must have the lowest priority per storage class: give it the highest rulePriority",
            ));
        }
    }
    Ok(())
}
