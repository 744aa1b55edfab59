// SPDX-License-Identifier: Apache-2.0
//! One rule of a lifecycle policy.

use std::fmt;
use std::num::NonZeroU32;

use hythe_model::StorageClass;
use serde_json::{Value, json};

use super::tags::TagSelection;

/// The place of a rule among the others: the lowest comes first.
///
/// Invariant: 1 to 2,147,483,647 (ECR, "Lifecycle policy properties": an integer of at least 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulePriority(NonZeroU32);

impl RulePriority {
    /// The priority with this number, if it is one.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        let is_in_range = i32::try_from(number).is_ok();
        NonZeroU32::new(number).filter(|_| is_in_range).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for RulePriority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The name of a storage class in a policy; elsewhere ECR writes it in capitals.
#[must_use]
pub fn storage_class_name(class: StorageClass) -> &'static str {
    match class {
        StorageClass::Standard => "standard",
        StorageClass::Archive => "archive",
    }
}

/// What a rule does with the images that its count is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleAction {
    /// Delete those beyond the count; no later rule touches the others.
    Expire,
    /// Move those beyond the count to the archive; no later rule touches the others.
    Transition,
    /// Keep those within the count from all later rules; those beyond are left to them. Not in ECR.
    Retain,
}

impl LifecycleAction {
    /// The name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Transition => "transition",
            Self::Retain => "retain",
        }
    }
}

/// The unit of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountUnit {
    /// Not in ECR.
    Hours,
    /// Of 24 hours.
    Days,
    /// Not in ECR.
    Weeks,
}

impl CountUnit {
    /// The name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Weeks => "weeks",
        }
    }

    pub(super) fn hours(self) -> u32 {
        match self {
            Self::Hours => 1,
            Self::Days => 24,
            Self::Weeks => 7 * 24,
        }
    }
}

/// How long ago something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Age {
    /// So many units.
    pub number: NonZeroU32,
    /// Of what.
    pub unit: CountUnit,
}

impl Age {
    /// In milliseconds; 2³¹ weeks fit well into an `i64`.
    pub(super) fn millis(self) -> i64 {
        i64::from(self.number.get()) * i64::from(self.unit.hours()) * 3_600_000
    }
}

/// What a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// More images than so many: beyond are all but the newest.
    ImageCountMoreThan(NonZeroU32),
    /// Beyond are images that were pushed, or came back from the archive, longer ago.
    SinceImagePushed(Age),
    /// Beyond are images that were pulled longer ago; one that never was, or not since it came back from the archive,
    /// counts from when it was pushed or came back.
    SinceImagePulled(Age),
    /// Beyond are images that went to the archive longer ago.
    SinceImageTransitioned(Age),
}

impl Count {
    /// The name in a policy.
    #[must_use]
    pub fn type_str(self) -> &'static str {
        match self {
            Self::ImageCountMoreThan(_) => "imageCountMoreThan",
            Self::SinceImagePushed(_) => "sinceImagePushed",
            Self::SinceImagePulled(_) => "sinceImagePulled",
            Self::SinceImageTransitioned(_) => "sinceImageTransitioned",
        }
    }

    /// How many images, or units of an age.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::ImageCountMoreThan(number) => number.get(),
            Self::SinceImagePushed(age) | Self::SinceImagePulled(age) | Self::SinceImageTransitioned(age) => {
                age.number.get()
            }
        }
    }

    /// The unit of an age.
    #[must_use]
    pub fn unit(self) -> Option<CountUnit> {
        match self {
            Self::ImageCountMoreThan(_) => None,
            Self::SinceImagePushed(age) | Self::SinceImagePulled(age) | Self::SinceImageTransitioned(age) => {
                Some(age.unit)
            }
        }
    }
}

/// A rule.
///
/// Invariant: the parts fit together as ECR's guide says ("Lifecycle policy properties"): for example, only images in the
/// archive are counted by `sinceImageTransitioned`. Only a rule that retains may be without a count; it keeps all that it
/// selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleRule {
    pub(super) priority: RulePriority,
    pub(super) description: Option<Box<str>>,
    pub(super) storage_class: StorageClass,
    pub(super) tags: TagSelection,
    pub(super) count: Option<Count>,
    pub(super) action: LifecycleAction,
}

impl LifecycleRule {
    /// Its place among the rules.
    #[must_use]
    pub fn priority(&self) -> RulePriority {
        self.priority
    }

    /// What its author says about it.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// In which storage class it looks for images.
    #[must_use]
    pub fn storage_class(&self) -> StorageClass {
        self.storage_class
    }

    /// Which images it selects.
    #[must_use]
    pub fn tags(&self) -> &TagSelection {
        &self.tags
    }

    /// What it counts; `None`: it keeps all it selects.
    #[must_use]
    pub fn count(&self) -> Option<Count> {
        self.count
    }

    /// What it does.
    #[must_use]
    pub fn action(&self) -> LifecycleAction {
        self.action
    }

    /// Whether it takes images away, rather than keeping some from other rules.
    #[must_use]
    pub fn takes(&self) -> bool {
        self.action != LifecycleAction::Retain
    }

    /// The one form that all spellings of the rule have.
    pub(super) fn canonical(&self) -> Value {
        let mut selection = json!({ "tagStatus": self.tags.status_str() });
        let mut action = json!({ "type": self.action.as_str() });
        let mut rule = json!({ "rulePriority": self.priority.get() });
        if let Some((name, entries)) = self.tags.list() {
            set(&mut selection, name, json!(entries));
        }
        if self.storage_class != StorageClass::default() {
            set(
                &mut selection,
                "storageClass",
                storage_class_name(self.storage_class).into(),
            );
        }
        if let Some(count) = self.count {
            set(&mut selection, "countType", count.type_str().into());
            set(&mut selection, "countNumber", count.number().into());
            if let Some(unit) = count.unit() {
                set(&mut selection, "countUnit", unit.as_str().into());
            }
        }
        if self.action == LifecycleAction::Transition {
            set(
                &mut action,
                "targetStorageClass",
                storage_class_name(StorageClass::Archive).into(),
            );
        }
        if let Some(description) = self.description() {
            set(&mut rule, "description", description.into());
        }
        set(&mut rule, "selection", selection);
        set(&mut rule, "action", action);
        rule
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
