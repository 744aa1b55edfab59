// SPDX-License-Identifier: Apache-2.0
//! The edges of what is counted, and what is said about images that stay.

use hythe_rules::lifecycle::{KeepReason, LifecycleOutcome, RulePriority};

use super::support::{policy, taken, verdicts};

#[test]
fn ages_are_exclusive_and_counts_are_not() {
    let cases = [
        ("exactly as old stays", "A@5d; B@121h", "1 any pushed 5 days", "B1"),
        ("the newest stay", "A@3d; B@1d; C@2d", "1 any count 2", "A1"),
        ("as many as are kept", "A@3d; B@1d; C@2d", "1 any count 3", ""),
        (
            "pushed as a restore",
            "A@9d archived=8d back=1d; B@2d; C@3d",
            "1 any count 2",
            "C1",
        ),
        (
            "a pull before the archive is forgotten",
            "A@99d pulled=98d archived=97d back=2d",
            "1 any pulled 3 days",
            "",
        ),
        (
            "a pull since counts",
            "A@99d archived=97d back=50d pulled=40d",
            "1 any pulled 45 days",
            "",
        ),
        (
            "so does a long time since",
            "A@99d archived=97d back=50d pulled=47d",
            "1 any pulled 45 days",
            "A1",
        ),
        (
            "what is in the archive is seen by rules for the archive only",
            "A@999d archived=998d; B@10d",
            "1 any count 1",
            "",
        ),
        (
            "exactly 90 days in the archive stays",
            "A@200d archived=90d; B@200d archived=91d",
            "1 any in-archive transitioned 90 days",
            "B1",
        ),
        (
            "an image that was deleted and restored in the archive is as new there",
            "A@300d archived=200d restored=1d; B@300d archived=200d restored=91d",
            "1 any in-archive transitioned 90 days",
            "B1",
        ),
        ("a push in the future is new", "A@-24h; B@1d", "1 any count 1", "B1"),
    ];
    for (what, images, rules, want) in cases {
        assert_eq!(taken(rules, images), want, "{what}");
    }
}

#[test]
fn images_of_the_same_millisecond_are_ranked_by_digest_whatever_their_order() {
    let rules = "1 any count 2";
    for images in [
        "A@1d; B@1d; C@1d; D@1d",
        "D@1d; B@1d; C@1d; A@1d",
        "C@1d; D@1d; A@1d; B@1d",
    ] {
        assert_eq!(taken(rules, images), "D1 C1", "{images}");
    }
}

#[test]
fn every_image_has_its_reason() {
    use KeepReason::{Claimed, FollowsSubject, InIndex, NotSelected, Spared};
    let keep = LifecycleOutcome::Keep;
    let rules = "1 gold* retain; 2 alpha* count 1; 3 untagged pushed 1 days; 4 any in-archive transitioned 90 days; \
                 9 beta* pushed 1 days";
    let images = "A:alpha-1@4d; B:alpha-2,beta-2@3d; C:beta-3@1h; D@4d child; E@4d; F:other@4d; S@1d of=A; T@1d of=B; \
                  G:gold@9d; H:gold-2,alpha@9d; Z:beta@100d archived=10d; Y:beta@5d child";
    let want = [
        ("A", LifecycleOutcome::Expire, 2, 2),
        ("B", keep(Claimed), 9, 2),
        ("C", keep(Spared), 0, 9),
        ("D", keep(InIndex), 3, 3),
        ("E", LifecycleOutcome::Expire, 3, 3),
        ("F", keep(NotSelected), 0, 0),
        ("S", keep(FollowsSubject), 2, 0),
        ("T", keep(FollowsSubject), 0, 0),
        ("G", LifecycleOutcome::Retain, 0, 1),
        ("H", LifecycleOutcome::Retain, 2, 1),
        ("Z", keep(Spared), 0, 4),
        ("Y", keep(InIndex), 9, 9),
    ];
    let number = |priority: Option<RulePriority>| priority.map_or(0, RulePriority::get);
    for ((name, verdict), (of, outcome, rule, claimed_by)) in verdicts(rules, images).into_iter().zip(want) {
        assert_eq!(name, of);
        let got = (verdict.outcome, number(verdict.rule), number(verdict.claimed_by));
        assert_eq!(got, (outcome, rule, claimed_by), "{name}");
    }
}

#[test]
fn a_circle_of_subjects_ends() {
    let verdicts = verdicts("1 any count 1", "A@1d of=B; B@2d of=A; C@3d of=A; D@4d; E@5d");
    let shown: Vec<&str> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.is_taken())
        .map(|(name, _)| &**name)
        .collect();
    assert_eq!(shown, ["E"]);
}

#[test]
fn a_policy_says_which_rule_may_take_an_image_some_day() {
    let policy =
        policy("1 prod* retain; 2 keep* count 3 retain; 3 v*+*-rc pushed 1 days; 4 untagged count 1; 5 *x count 9");
    let cases: [(&[&str], Option<u32>); 7] = [
        (&["prod-1"], None),
        (&["prod-1", "v1-rc"], None),
        (&["keep-x"], Some(5)),
        (&["keep"], None),
        (&["v1-rc"], Some(3)),
        (&["v1"], None),
        (&[], Some(4)),
    ];
    for (tags, want) in cases {
        let got = policy.claims(tags).map(|rule| rule.priority().get());
        assert_eq!(got, want, "{tags:?}");
    }
    let second = policy.rules()[1].priority();
    assert_eq!(policy.rule(second).unwrap().priority(), second);
    assert_eq!(policy.rule(RulePriority::new(6).unwrap()), None);
}
