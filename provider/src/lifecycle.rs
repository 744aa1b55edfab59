// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies in arguments: rules as attributes, and documents checked and compared by the server's own parser.

use std::collections::BTreeSet;

use hythe_rules::lifecycle::{CountUnit, LifecyclePolicy, LifecyclePolicyError, LifecycleRule, storage_class_name};
use serde_json::{Map, Value, json};
use tfplugin::{Attr, Diagnostic, Object, Path};

/// A rule of a lifecycle policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object)]
pub struct Rule {
    /// The place of the rule, unique in the policy: an image that a rule with a lower number selects is never touched by a
    /// later one, even if the first spares it.
    #[tf(required)]
    pub priority: Attr<i64>,
    /// What the rule is for.
    #[tf(optional)]
    pub description: Attr<String>,
    /// Which images the rule selects, and how many of them, or how old ones, it lets be.
    #[tf(required)]
    pub selection: Attr<Selection>,
    /// What the rule does: `expire` deletes images beyond the count, `transition` moves them to the archive, and `retain`
    /// keeps those within it from all later rules, which Amazon ECR does not have.
    #[tf(optional, default = "expire", one_of = ["expire", "transition", "retain"])]
    pub action: Attr<String>,
}

/// What a rule selects and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object)]
pub struct Selection {
    /// Whether images need a tag, must have none, or do not matter in this. A rule for `any` has to come last.
    #[tf(required, one_of = ["tagged", "untagged", "any"])]
    pub tag_status: Attr<String>,
    /// Patterns such as `prod-*`, with at most four `*` each, for `tagged`. Each of them must match a tag of the image.
    #[tf(optional)]
    pub tag_patterns: Attr<BTreeSet<String>>,
    /// Beginnings of tags, for `tagged`, instead of `tag_patterns`. Each of them must be that of a tag of the image.
    #[tf(optional)]
    pub tag_prefixes: Attr<BTreeSet<String>>,
    /// Where the images are. In the `archive`, only `sinceImageTransitioned` counts.
    #[tf(optional, default = "standard", one_of = ["standard", "archive"])]
    pub storage_class: Attr<String>,
    /// What is counted: `imageCountMoreThan` lets the newest be, the others let be what was pushed, pulled or archived
    /// lately. May be left out of a rule that retains all it selects. Amazon ECR knows `sinceImagePulled` for
    /// `transition` only.
    #[tf(
        optional,
        one_of = ["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]
    )]
    pub count_type: Attr<String>,
    /// The unit of an age; days if left out. Amazon ECR knows `days` only.
    #[tf(optional, one_of = ["days", "hours", "weeks"])]
    pub count_unit: Attr<String>,
    /// How many images, or how old they may be.
    #[tf(optional)]
    pub count_number: Attr<i64>,
}

/// Whether `text` is a lifecycle policy; the error names the place in it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    LifecyclePolicy::parse(text)
        .map(drop)
        .map_err(|error| match error.pointer() {
            "" => error.to_string(),
            at => format!("`{at}`: {error}"),
        })
}

/// Whether both texts are lifecycle policies that say the same.
pub(crate) fn same(a: &str, b: &str) -> bool {
    matches!((LifecyclePolicy::parse(a), LifecyclePolicy::parse(b)), (Ok(a), Ok(b)) if a.is_equivalent(&b))
}

/// Whether both are the rules of policies that say the same.
pub(crate) fn same_rules(a: &[Rule], b: &[Rule]) -> bool {
    matches!((policy(a), policy(b)), (Some(Ok(a)), Some(Ok(b))) if a.is_equivalent(&b))
}

/// The rules of a policy, in the order of their priorities, with ages in days as most write them: without the unit.
pub(crate) fn rules(policy: &LifecyclePolicy) -> Vec<Rule> {
    policy.rules().iter().map(Rule::of).collect()
}

/// The policy with these rules as JSON; `None` while a part of it is unknown.
pub(crate) fn document(rules: &[Rule]) -> Option<String> {
    let rules: Option<Vec<Value>> = rules.iter().map(Rule::to_json).collect();
    Some(json!({ "rules": rules? }).to_string())
}

/// What is wrong with the policy that these rules make, at the argument that it is about.
pub(crate) fn misplaced(error: &LifecyclePolicyError) -> Diagnostic {
    let mut path = Path::root();
    for (depth, step) in error.pointer().split('/').skip(1).enumerate() {
        path = match (depth, step.parse::<usize>()) {
            (0, _) => Path::new("rules"),
            (1, Ok(index)) => path.index(index),
            // Sets have no places.
            (_, Ok(_)) => path,
            (_, Err(_)) => match argument(step) {
                Some(name) => path.attribute(name),
                None => path,
            },
        };
    }
    Diagnostic::error("Invalid lifecycle policy", format!("{error}.")).at(path)
}

/// The argument behind a member of a policy.
fn argument(member: &str) -> Option<&'static str> {
    Some(match member {
        "rulePriority" => "priority",
        "description" => "description",
        "selection" => "selection",
        "action" => "action",
        "tagStatus" => "tag_status",
        "tagPatternList" => "tag_patterns",
        "tagPrefixList" => "tag_prefixes",
        "storageClass" => "storage_class",
        "countType" => "count_type",
        "countUnit" => "count_unit",
        "countNumber" => "count_number",
        _ => return None,
    })
}

/// The policy of these rules, once all of them are known.
pub(crate) fn policy(rules: &[Rule]) -> Option<Result<LifecyclePolicy, LifecyclePolicyError>> {
    Some(LifecyclePolicy::parse(&document(rules)?))
}

impl Rule {
    fn of(rule: &LifecycleRule) -> Self {
        let mut selection = Selection {
            tag_status: rule.tags().status_str().into(),
            storage_class: storage_class_name(rule.storage_class()).into(),
            ..Selection::default()
        };
        if let Some((name, entries)) = rule.tags().list() {
            let entries = Attr::Known(entries.into_iter().map(str::to_owned).collect());
            if name == "tagPrefixList" {
                selection.tag_prefixes = entries;
            } else {
                selection.tag_patterns = entries;
            }
        }
        if let Some(count) = rule.count() {
            selection.count_type = count.type_str().into();
            let unit = count.unit().filter(|unit| *unit != CountUnit::Days);
            selection.count_unit = unit.map_or(Attr::Null, |unit| unit.as_str().into());
            selection.count_number = i64::from(count.number()).into();
        }
        Self {
            priority: i64::from(rule.priority().get()).into(),
            description: rule.description().map_or(Attr::Null, Attr::from),
            selection: Attr::Known(selection),
            action: rule.action().as_str().into(),
        }
    }

    fn to_json(&self) -> Option<Value> {
        let selection = self.selection.known()?.to_json()?;
        let action = match settled(&self.action)?.first().map_or("expire", String::as_str) {
            "transition" => json!({ "type": "transition", "targetStorageClass": "archive" }),
            kind => json!({ "type": kind }),
        };
        let mut rule = Map::new();
        rule.insert("rulePriority".into(), (*self.priority.known()?).into());
        if let Some(description) = settled(&self.description)?.first() {
            rule.insert("description".into(), description.as_str().into());
        }
        rule.insert("selection".into(), selection);
        rule.insert("action".into(), action);
        Some(rule.into())
    }
}

impl Selection {
    fn to_json(&self) -> Option<Value> {
        let mut members = Map::new();
        members.insert("tagStatus".into(), self.tag_status.known()?.as_str().into());
        for (name, list) in [
            ("tagPatternList", &self.tag_patterns),
            ("tagPrefixList", &self.tag_prefixes),
        ] {
            if let Some(list) = settled(list)?.first() {
                members.insert(name.into(), json!(list));
            }
        }
        if let Some(class) = settled(&self.storage_class)?
            .first()
            .filter(|class| *class != "standard")
        {
            members.insert("storageClass".into(), class.as_str().into());
        }
        let kind = settled(&self.count_type)?.first();
        let unit = settled(&self.count_unit)?.first().map(String::as_str);
        if let Some(kind) = kind {
            members.insert("countType".into(), kind.as_str().into());
        }
        let is_age = kind.is_some_and(|kind| kind.starts_with("since"));
        if let Some(unit) = unit.or(is_age.then_some("days")) {
            members.insert("countUnit".into(), unit.into());
        }
        if let Some(number) = settled(&self.count_number)?.first() {
            members.insert("countNumber".into(), (*number).into());
        }
        Some(members.into())
    }
}

/// The value, or nothing; `None` if it is unknown.
fn settled<T>(attribute: &Attr<T>) -> Option<&[T]> {
    match attribute {
        Attr::Known(value) => Some(std::slice::from_ref(value)),
        Attr::Null => Some(&[]),
        Attr::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(status: &str, kind: &str, number: i64) -> Selection {
        Selection {
            tag_status: status.into(),
            count_type: kind.into(),
            count_number: number.into(),
            ..Selection::default()
        }
    }

    fn rule(priority: i64, selection: Selection, action: &str) -> Rule {
        Rule {
            priority: priority.into(),
            selection: Attr::Known(selection),
            action: action.into(),
            ..Rule::default()
        }
    }

    #[test]
    fn rules_become_the_document_that_the_server_takes() {
        let patterns = Selection {
            tag_patterns: Attr::Known(["v*".to_owned(), "prod*".to_owned()].into()),
            ..selection("tagged", "imageCountMoreThan", 9)
        };
        let archived = Selection {
            storage_class: "archive".into(),
            ..selection("any", "sinceImageTransitioned", 90)
        };
        let rules = [
            rule(1, patterns, "expire"),
            rule(2, selection("any", "sinceImagePulled", 30), "transition"),
            rule(3, archived, "expire"),
        ];
        let policy = super::policy(&rules).unwrap().unwrap();
        let same = LifecyclePolicy::parse_strict(
            r#"{"rules":[
                {"rulePriority":1,"selection":{"tagStatus":"tagged","tagPatternList":["v*","prod*"],"countType":"imageCountMoreThan","countNumber":9},"action":{"type":"expire"}},
                {"rulePriority":2,"selection":{"tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":30},"action":{"type":"transition","targetStorageClass":"archive"}},
                {"rulePriority":3,"selection":{"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countUnit":"days","countNumber":90},"action":{"type":"expire"}}
            ]}"#,
        );
        assert_eq!(policy, same.unwrap());
        // And back.
        let again = super::rules(&policy);
        assert!(same_rules(&again, &rules), "{again:?}");
        assert!(!same_rules(&again, &rules[1..]));
    }

    #[test]
    fn an_order_and_a_default_are_no_difference() {
        let prefixes = Selection {
            tag_prefixes: Attr::Known(["dev".to_owned()].into()),
            ..selection("tagged", "sinceImagePushed", 3)
        };
        let explicit = Selection {
            count_unit: "days".into(),
            storage_class: "standard".into(),
            ..prefixes.clone()
        };
        let last = || rule(9, selection("any", "imageCountMoreThan", 5), "expire");
        let one = [rule(1, prefixes, "expire"), last()];
        let other = [last(), rule(1, explicit, "expire")];
        assert!(same_rules(&one, &other));
        assert!(same(&document(&one).unwrap(), &document(&other).unwrap()));
        assert!(!same("{", "{"));
        assert!(check(&document(&one).unwrap()).is_ok());
        let error = check(r#"{"rules":[{"rulePriority":0}]}"#).unwrap_err();
        assert!(error.contains("`/rules/0"), "{error}");
    }

    #[test]
    fn mistakes_are_placed_at_their_argument() {
        let any = || rule(1, selection("any", "imageCountMoreThan", 1), "expire");
        let cases = [
            (vec![], "rules"),
            (vec![any(), any()], "rules[1].priority"),
            (
                vec![rule(0, selection("any", "imageCountMoreThan", 1), "expire")],
                "rules[0].priority",
            ),
            (
                vec![any(), rule(2, selection("untagged", "imageCountMoreThan", 0), "expire")],
                "rules[1].selection.count_number",
            ),
            (
                vec![rule(1, selection("tagged", "imageCountMoreThan", 1), "expire")],
                "rules[0].selection",
            ),
        ];
        for (rules, want) in cases {
            let error = policy(&rules).unwrap().unwrap_err();
            assert_eq!(misplaced(&error).path.to_string(), want, "{error}");
        }
    }

    #[test]
    fn what_is_unknown_is_not_judged() {
        let unknown = Rule {
            priority: Attr::Unknown,
            ..rule(1, selection("any", "imageCountMoreThan", 0), "expire")
        };
        assert!(policy(&[unknown]).is_none());
    }
}
