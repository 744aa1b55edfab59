// SPDX-License-Identifier: Apache-2.0
//! Reads one rule, with ECR's answers to what is wrong with it.

use std::num::NonZeroU32;

use hythe_model::StorageClass;

use super::error::LifecyclePolicyError as Error;
use super::rule::{Age, Count, CountUnit, LifecycleAction, LifecycleRule, RulePriority};
use super::tags::{MAX_PATTERN_WILDCARDS, TagList, TagPattern, TagSelection};
use crate::json::{Node, place};

/// The largest number anywhere in a policy.
const MAX_NUMBER: u32 = i32::MAX.unsigned_abs();
/// How long an image stays in the archive before a policy may delete it, in days (ECR, "Archive storage class").
const MIN_ARCHIVE_DAYS: u32 = 90;

/// Which documents are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// ECR's.
    Ecr,
    /// ECR's, and what is beyond.
    Extended,
}

impl Dialect {
    fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Ecr => &["expire", "transition"],
            Self::Extended => &["expire", "retain", "transition"],
        }
    }

    fn units(self) -> &'static [&'static str] {
        match self {
            Self::Ecr => &["days"],
            Self::Extended => &["days", "hours", "weeks"],
        }
    }
}

pub(super) fn rule(node: &Node, at: &str, dialect: Dialect) -> Result<LifecycleRule, Error> {
    let members = Object::read(node, at, &["action", "description", "rulePriority", "selection"])?;
    let [action_node, priority, selection_node] = members.required(["action", "rulePriority", "selection"])?;
    let at_priority = place(at, "rulePriority");
    let priority = number(priority, &at_priority)?.get();
    let priority = RulePriority::new(priority)
        .ok_or_else(|| Error::too_high(&at_priority, MAX_NUMBER.into(), &priority.to_string()))?;
    let description = members.get("description");
    let description = description
        .map(|node| text(node, &place(at, "description")))
        .transpose()?;
    let action = action(action_node, &place(at, "action"), dialect)?;
    let Selection {
        storage_class,
        tags,
        count,
    } = selection(selection_node, &place(at, "selection"), action, dialect)?;
    Ok(LifecycleRule {
        priority,
        description: description.filter(|text| !text.is_empty()).map(Box::from),
        storage_class,
        tags,
        count,
        action,
    })
}

fn action(node: &Node, at: &str, dialect: Dialect) -> Result<LifecycleAction, Error> {
    let members = Object::read(node, at, &["targetStorageClass", "type"])?;
    let [kind] = members.required(["type"])?;
    let target = members.get("targetStorageClass");
    let action = match one_of(kind, &place(at, "type"), dialect.actions())? {
        "expire" => LifecycleAction::Expire,
        "retain" => LifecycleAction::Retain,
        _ => LifecycleAction::Transition,
    };
    match (action, target) {
        (LifecycleAction::Transition, Some(target)) => {
            one_of(target, &place(at, "targetStorageClass"), &["archive"]).map(|_| action)
        }
        (LifecycleAction::Transition, None) => Err(Error::unreadable(
            at,
            "The action `transition` needs `targetStorageClass`, which can be `archive`.",
        )),
        (_, None) => Ok(action),
        (_, Some(_)) => {
            let why = format!("the action `{}` has no `targetStorageClass`", action.as_str());
            Err(Error::no_variant(at, &why))
        }
    }
}

struct Selection {
    storage_class: StorageClass,
    tags: TagSelection,
    count: Option<Count>,
}

fn selection(node: &Node, at: &str, action: LifecycleAction, dialect: Dialect) -> Result<Selection, Error> {
    let known = [
        "countNumber",
        "countType",
        "countUnit",
        "storageClass",
        "tagPatternList",
        "tagPrefixList",
        "tagStatus",
    ];
    let members = Object::read(node, at, &known)?;
    let storage_class = match members.get("storageClass") {
        None => StorageClass::default(),
        Some(class) => match one_of(class, &place(at, "storageClass"), &["archive", "standard"])? {
            "archive" => StorageClass::Archive,
            _ => StorageClass::Standard,
        },
    };
    let counts = ["countNumber", "countType", "countUnit"];
    let is_countless = action == LifecycleAction::Retain && counts.iter().all(|name| members.get(name).is_none());
    let (status, count) = if is_countless {
        let [status] = members.required(["tagStatus"])?;
        (status, None)
    } else {
        let [number, kind, status] = members.required(["countNumber", "countType", "tagStatus"])?;
        let count = count(kind, number, members.get("countUnit"), at, dialect)?;
        fits(count, storage_class, action, at, dialect)?;
        (status, Some(count))
    };
    if storage_class == StorageClass::Archive && action == LifecycleAction::Transition {
        return Err(Error::new(
            &place(at, "storageClass"),
            "TRANSITION supports the STANDARD storage class only",
        ));
    }
    Ok(Selection {
        storage_class,
        tags: tags(status, members, at)?,
        count,
    })
}

fn count(kind: &Node, number_node: &Node, unit: Option<&Node>, at: &str, dialect: Dialect) -> Result<Count, Error> {
    let kinds = [
        "imageCountMoreThan",
        "sinceImagePulled",
        "sinceImagePushed",
        "sinceImageTransitioned",
    ];
    let kind = one_of(kind, &place(at, "countType"), &kinds)?;
    let number = number(number_node, &place(at, "countNumber"))?;
    let unit = unit.map(|node| one_of(node, &place(at, "countUnit"), dialect.units()));
    let unit = match unit.transpose()? {
        None => None,
        Some("hours") => Some(CountUnit::Hours),
        Some("weeks") => Some(CountUnit::Weeks),
        Some(_) => Some(CountUnit::Days),
    };
    match (kind, unit) {
        ("imageCountMoreThan", None) => Ok(Count::ImageCountMoreThan(number)),
        ("imageCountMoreThan", Some(_)) => Err(Error::no_variant(at, "`imageCountMoreThan` has no `countUnit`")),
        (_, None) => {
            let why = format!("`{kind}` needs a `countUnit`, such as `days`");
            Err(Error::no_variant(at, &why))
        }
        ("sinceImagePushed", Some(unit)) => Ok(Count::SinceImagePushed(Age { number, unit })),
        ("sinceImagePulled", Some(unit)) => Ok(Count::SinceImagePulled(Age { number, unit })),
        (_, Some(unit)) => Ok(Count::SinceImageTransitioned(Age { number, unit })),
    }
}

/// Whether what is counted goes with the storage class and with the action.
fn fits(count: Count, class: StorageClass, action: LifecycleAction, at: &str, dialect: Dialect) -> Result<(), Error> {
    match (count, class) {
        (Count::SinceImageTransitioned(_), StorageClass::Standard) => Err(Error::new(
            &place(at, "storageClass"),
            "SINCE_IMAGE_TRANSITIONED supports the ARCHIVE storage class only: set `storageClass` to `archive`",
        )),
        (Count::SinceImageTransitioned(age), StorageClass::Archive) => {
            let minimum = (MIN_ARCHIVE_DAYS * 24).div_ceil(age.unit.hours());
            let number = age.number.get();
            if action == LifecycleAction::Expire && number < minimum {
                return Err(Error::too_low(&place(at, "countNumber"), minimum.into(), number.into()));
            }
            Ok(())
        }
        (_, StorageClass::Archive) => Err(Error::new(
            &place(at, "storageClass"),
            "SINCE_IMAGE_PUSHED, SINCE_IMAGE_PULLED and IMAGE_COUNT_MORE_THAN support the STANDARD storage class only",
        )),
        (Count::SinceImagePulled(_), _) if dialect == Dialect::Ecr && action == LifecycleAction::Expire => {
            Err(Error::new(
                &place(at, "countType"),
                "SINCE_IMAGE_PULLED supports the TRANSITION action only; that it expires is an extension, which strict \
                 mode refuses",
            ))
        }
        _ => Ok(()),
    }
}

fn tags(status: &Node, members: Object<'_>, at: &str) -> Result<TagSelection, Error> {
    let status = one_of(status, &place(at, "tagStatus"), &["any", "tagged", "untagged"])?;
    let lists = ["tagPrefixList", "tagPatternList"].map(|name| Some((name, members.get(name)?)));
    let (name, list) = match (status, lists) {
        ("tagged", [Some(_), Some(_)]) => {
            return Err(Error::new(
                at,
                "If policy has a tagged rule, it must specify only one of tagPrefixList or tagPatternList",
            ));
        }
        ("tagged", [None, None]) => {
            return Err(Error::new(
                at,
                "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
            ));
        }
        ("tagged", [Some(list), None] | [None, Some(list)]) => list,
        (_, [Some((name, _)), _] | [None, Some((name, _))]) => {
            let reason = format!("Cannot specify {name} with tagStatus {}", status.to_uppercase());
            return Err(Error::new(&place(at, name), reason));
        }
        ("untagged", [None, None]) => return Ok(TagSelection::Untagged),
        (_, [None, None]) => return Ok(TagSelection::Any),
    };
    let at = place(at, name);
    let Node::List(nodes) = list else {
        return Err(Error::wrong_type(&at, list, "array"));
    };
    if nodes.is_empty() {
        return Err(Error::new(
            &at,
            "array is too short: must have at least 1 elements but instance has 0 elements",
        ));
    }
    let mut entries = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let at = format!("{at}/{index}");
        let entry = text(node, &at)?;
        if entry.is_empty() {
            return Err(Error::new(
                &at,
                "string \"\" is too short (length: 0, required minimum: 1)",
            ));
        }
        entries.push((at, entry));
    }
    if name == "tagPrefixList" {
        let mut prefixes: Vec<Box<str>> = entries.into_iter().map(|(_, text)| text.into()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        return Ok(TagSelection::Tagged(TagList::Prefixes(prefixes.into())));
    }
    let pattern = |(at, text): (String, &str)| {
        TagPattern::new(text).ok_or_else(|| {
            let reason =
                format!("Invalid tag pattern provided: `{text}` has more than {MAX_PATTERN_WILDCARDS} wildcards (`*`)");
            Error::new(&at, reason)
        })
    };
    let mut patterns = entries.into_iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
    patterns.sort_unstable();
    patterns.dedup();
    Ok(TagSelection::Tagged(TagList::Patterns(patterns.into())))
}

/// An object of which every member is known and stands once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a> {
    members: &'a [(String, Node)],
    at: &'a str,
}

impl<'a> Object<'a> {
    pub(super) fn read(node: &'a Node, at: &'a str, known: &[&str]) -> Result<Self, Error> {
        let Node::Object(members) = node else {
            return Err(Error::wrong_type(at, node, "object"));
        };
        // Before repetitions are looked for, so that as many members as are known are compared with each other at most,
        // but for one.
        for (index, (name, _)) in members.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(Error::unknown_member(at, name));
            }
            if members.iter().take(index).any(|(before, _)| before == name) {
                return Err(Error::unreadable(&place(at, name), "The member stands here twice."));
            }
        }
        Ok(Self { members, at })
    }

    pub(super) fn get(self, name: &str) -> Option<&'a Node> {
        self.members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, node)| node)
    }

    /// The members with these names, which are sorted.
    pub(super) fn required<const N: usize>(self, names: [&str; N]) -> Result<[&'a Node; N], Error> {
        let missing: Vec<&str> = names.into_iter().filter(|name| self.get(name).is_none()).collect();
        let found: Vec<&Node> = names.iter().filter_map(|name| self.get(name)).collect();
        found.try_into().map_err(|_| Error::missing(self.at, &missing))
    }
}

fn text<'a>(node: &'a Node, at: &str) -> Result<&'a str, Error> {
    node.as_text().ok_or_else(|| Error::wrong_type(at, node, "string"))
}

fn one_of<'k>(node: &Node, at: &str, known: &[&'k str]) -> Result<&'k str, Error> {
    let text = text(node, at)?;
    let found = known.iter().find(|word| **word == text);
    found.copied().ok_or_else(|| Error::not_in_enum(at, text, known))
}

/// An integer of at least 1.
fn number(node: &Node, at: &str) -> Result<NonZeroU32, Error> {
    let Node::Number(text) = node else {
        return Err(Error::wrong_type(at, node, "integer"));
    };
    // Whatever has no fraction is written without one.
    if text.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'-') {
        return Err(Error::wrong_type(at, node, "integer"));
    }
    let Ok(number) = text.parse::<i64>() else {
        return Err(Error::too_high(at, MAX_NUMBER.into(), text));
    };
    if number < 1 {
        return Err(Error::too_low(at, 1, number));
    }
    let in_range = u32::try_from(number).ok().filter(|number| *number <= MAX_NUMBER);
    let in_range = in_range.and_then(NonZeroU32::new);
    in_range.ok_or_else(|| Error::too_high(at, MAX_NUMBER.into(), text))
}
