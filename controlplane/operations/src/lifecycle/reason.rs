// SPDX-License-Identifier: Apache-2.0
//! Why an image goes or stays, in words.

use hythe_meta::{LifecycleKept, LifecycleOutcome, LifecycleVerdict};
use hythe_rules::lifecycle::{Count, CountUnit, LifecyclePolicy, LifecycleRule, RulePriority};

/// The words of one policy.
#[derive(Debug)]
pub struct LifecycleReasons(Option<LifecyclePolicy>);

impl LifecycleReasons {
    /// Those of the policy in `text`. Of a text that is none, rules are named by their number only.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(LifecyclePolicy::parse(text).ok())
    }

    /// Why a rule takes an image.
    #[must_use]
    pub fn taken(&self, rule: u32) -> String {
        match self.find(rule).and_then(LifecycleRule::count) {
            Some(count) => format!("{}: {}", self.named(rule), beyond(count)),
            None => self.named(rule),
        }
    }

    /// Why an image goes or stays.
    #[must_use]
    pub fn verdict(&self, verdict: &LifecycleVerdict) -> String {
        let claimer = || match verdict.claimed_by {
            Some(rule) => self.named(rule),
            None => "a rule".into(),
        };
        match (verdict.outcome, verdict.kept) {
            (LifecycleOutcome::Expire | LifecycleOutcome::Archive, _) => match verdict.rule {
                Some(rule) => self.taken(rule),
                None => "a rule takes it".into(),
            },
            (LifecycleOutcome::Retain, _) => format!("{} retains it", claimer()),
            (LifecycleOutcome::Keep, kept) => match kept {
                Some(LifecycleKept::Spared) => format!("{} claims it, and spares it", claimer()),
                Some(LifecycleKept::Claimed) => {
                    let other = verdict.rule.map_or_else(|| "another".into(), |rule| self.named(rule));
                    format!("{} claims it, and spares it; {other} would have taken it", claimer())
                }
                Some(LifecycleKept::InIndex) => format!("{} would take it, but an index lists it", claimer()),
                Some(LifecycleKept::FollowsSubject) => match verdict.rule {
                    Some(rule) => format!(
                        "it goes with the image that it refers to, which {} takes",
                        self.named(rule)
                    ),
                    None => "it stays with the image that it refers to".into(),
                },
                Some(LifecycleKept::NotSelected) | None => "no rule selects it".into(),
            },
        }
    }

    fn find(&self, rule: u32) -> Option<&LifecycleRule> {
        let policy = self.0.as_ref()?;
        RulePriority::new(rule).and_then(|priority| policy.rule(priority))
    }

    fn named(&self, rule: u32) -> String {
        match self.find(rule).and_then(LifecycleRule::description) {
            Some(description) => format!("rule {rule} ({description})"),
            None => format!("rule {rule}"),
        }
    }
}

/// What is true of an image that a rule takes.
fn beyond(count: Count) -> String {
    let age = |what: &str| {
        let (number, unit) = (count.number(), count.unit().map_or("days", CountUnit::as_str));
        let unit = if number == 1 { unit.trim_end_matches('s') } else { unit };
        format!("{what} more than {number} {unit} ago")
    };
    match count {
        Count::ImageCountMoreThan(number) if number.get() == 1 => "not the newest image".into(),
        Count::ImageCountMoreThan(number) => format!("not among the newest {number} images"),
        Count::SinceImagePushed(_) => age("pushed"),
        Count::SinceImagePulled(_) => age("last pulled"),
        Count::SinceImageTransitioned(_) => age("archived"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"rules": [
        {"rulePriority": 1, "description": "releases", "selection": {"tagStatus": "tagged", "tagPatternList": ["v*"],
            "countType": "imageCountMoreThan", "countNumber": 3}, "action": {"type": "expire"}},
        {"rulePriority": 2, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed",
            "countUnit": "days", "countNumber": 1}, "action": {"type": "expire"}}
    ]}"#;

    #[test]
    fn each_verdict_has_its_words() {
        let reasons = LifecycleReasons::of(POLICY);
        let verdict = |outcome, rule, claimed_by, kept| LifecycleVerdict {
            outcome,
            rule,
            claimed_by,
            kept,
        };
        let keep = |rule, claimed_by, kept| verdict(LifecycleOutcome::Keep, rule, claimed_by, Some(kept));
        let cases = [
            (
                verdict(LifecycleOutcome::Expire, Some(1), Some(1), None),
                "rule 1 (releases): not among the newest 3 images",
            ),
            (
                verdict(LifecycleOutcome::Expire, Some(2), Some(2), None),
                "rule 2: pushed more than 1 day ago",
            ),
            (verdict(LifecycleOutcome::Expire, Some(9), Some(9), None), "rule 9"),
            (
                verdict(LifecycleOutcome::Retain, None, Some(1), None),
                "rule 1 (releases) retains it",
            ),
            (keep(None, None, LifecycleKept::NotSelected), "no rule selects it"),
            (
                keep(None, Some(2), LifecycleKept::Spared),
                "rule 2 claims it, and spares it",
            ),
            (
                keep(Some(2), Some(1), LifecycleKept::Claimed),
                "rule 1 (releases) claims it, and spares it; rule 2 would have taken it",
            ),
            (
                keep(Some(2), Some(2), LifecycleKept::InIndex),
                "rule 2 would take it, but an index lists it",
            ),
            (
                keep(Some(2), None, LifecycleKept::FollowsSubject),
                "it goes with the image that it refers to, which rule 2 takes",
            ),
            (
                keep(None, None, LifecycleKept::FollowsSubject),
                "it stays with the image that it refers to",
            ),
        ];
        for (verdict, want) in cases {
            assert_eq!(reasons.verdict(&verdict), want);
        }
        assert_eq!(LifecycleReasons::of("no policy").taken(2), "rule 2");
    }
}
