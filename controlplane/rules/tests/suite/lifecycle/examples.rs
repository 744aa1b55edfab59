// SPDX-License-Identifier: Apache-2.0
//! The worked examples of ECR's guide ("Examples of lifecycle policies in Amazon ECR"), and those for the archive, for
//! indexes and for what is beyond ECR.

use super::support::taken;

const BETA_PROD: &str = "A:beta-1,prod-1@10d; B:beta-2,prod-2@9d; C:beta-3@8d";
const ALPHA_BETA: &str =
    "A:alpha-1@12d; B:beta-1@11d; C:alpha-2,beta-2@10d; D:alpha-3@4d; E:beta-3@3d; F:alpha-4,beta-4@2d";
const MIXED: &str = "A:alpha-1,beta-1@4d; B@3d; C:alpha-2@2d; D:0a1b2c@25h; E@1d";

#[test]
fn the_worked_examples_come_out_as_the_guide_says() {
    let cases = [
        (
            "1: a higher rule claims what a lower one would take",
            BETA_PROD,
            "1 prod* count 1; 2 beta* count 1",
            "A1",
        ),
        (
            "2: nothing is left for the lower rule",
            BETA_PROD,
            "1 beta* count 1; 2 prod* count 1",
            "A1 B1",
        ),
        (
            "3: all entries of a list have to match",
            ALPHA_BETA,
            "1 alpha*+beta* pushed 5 days",
            "C1",
        ),
        (
            "4: and only what matches all of them is counted",
            "A:alpha-1,beta-1@4d; B:alpha-2,beta-2@3d; C:alpha-3,beta-3@2d",
            "1 alpha*+beta* count 1",
            "A1 B1",
        ),
        (
            "5: all images",
            "A:v1@4d; B@3d; C:x@2d; D:y@1d",
            "1 any count 1",
            "A1 B1 C1",
        ),
        (
            "6: a rule ranks images that others have claimed",
            MIXED,
            "1 alpha* count 1; 2 untagged pushed 1 days; 3 any count 1",
            "A1 B2 D3",
        ),
        (
            "7: never pulled counts from the push",
            "A:prod-1@40d pulled=2d; B:prod-2@40d",
            "1 any pulled 30 days archive",
            "B1>",
        ),
        (
            "8: each rule looks at one storage class",
            "A:a@400d; B:b@500d archived=91d; C:c@500d archived=400d",
            "1 any pushed 30 days archive; 2 any in-archive transitioned 365 days",
            "C2 A1>",
        ),
        (
            "9: what came back counts from then",
            "A@200d archived=100d back=3d",
            "1 any pulled 30 days archive",
            "",
        ),
        (
            "10: an index keeps what it lists",
            "I:v1@10d; X@10d child; Y@10d child; Z@10d",
            "1 untagged pushed 5 days",
            "Z1",
        ),
        (
            "11: until it is gone",
            "I:v1@10d; X@10d child; Y@10d child; Z@11d",
            "1 any pushed 5 days",
            "Z1 I1",
        ),
        ("11: a later run", "X@12d; Y@11d", "1 any pushed 5 days", "X1 Y1"),
    ];
    for (what, images, rules, want) in cases {
        assert_eq!(taken(rules, images), want, "{what}");
    }
}

#[test]
fn images_that_go_with_others_are_left_alone() {
    let cases = [
        (
            "what an index lists takes no place in a ranking",
            "I:v2@1d; X@1d child; Y@1d child; J:v1@2d; P@2d child; Q@2d child; K:v0@3d",
            "1 any count 2",
            "K1",
        ),
        (
            "a signature stays while what it signs does",
            "A:v1@10d; S@10d of=A; T:sig@9d of=A; U@10d",
            "1 untagged pushed 5 days",
            "U1",
        ),
        (
            "and takes no place in a ranking",
            "A:v1@3d; S@2d of=A; T@1d of=S",
            "1 any count 1",
            "",
        ),
        (
            "without what it signs it is an image",
            "S@10d of=A",
            "1 untagged pushed 5 days",
            "S1",
        ),
        (
            "what goes first goes alone: the rest follows it",
            "A:v1@10d; S@10d of=A; T@9d of=S",
            "1 any pushed 5 days",
            "A1",
        ),
    ];
    for (what, images, rules, want) in cases {
        assert_eq!(taken(rules, images), want, "{what}");
    }
}

#[test]
fn what_is_beyond_ecr_works() {
    let cases = [
        (
            "images that nobody pulls expire",
            "A:a@40d pulled=2d; B:b@40d; C:c@90d pulled=31d",
            "1 any pulled 30 days",
            "C1 B1",
        ),
        ("hours", "A@47h; B@48h; C@49h", "1 any pushed 48 hours", "C1"),
        ("weeks", "A@13d; B@14d; C@15d", "1 any pushed 2 weeks", "C1"),
        (
            "what is retained is safe, what is not is left to later rules",
            "A:prod-1@40d; B:prod-2@39d; C:prod-3@20d; D:prod-4@10d; E:x@40d",
            "1 prod* count 1 retain; 2 any pushed 30 days",
            "A2 E2 B2",
        ),
        (
            "all that is selected is retained without a count",
            "A:prod-1@40d; B:dev-1@40d",
            "1 prod* retain; 2 any pushed 30 days",
            "B2",
        ),
        (
            "what was pulled lately is retained, whatever else it is",
            "A:a@40d pulled=2d; B@40d pulled=2d; C@40d; D:d@40d",
            "1 any pulled 7 days retain; 2 untagged pushed 1 days; 3 any pushed 30 days",
            "C2 D3",
        ),
        (
            "an image that is retained takes its place in the rankings of later rules",
            "A:a@4d; B:b@3d; C:c@2d; D:prod@1d",
            "1 prod* retain; 2 any count 2",
            "A2 B2",
        ),
    ];
    for (what, images, rules, want) in cases {
        let (want, got): (Vec<&str>, String) = (want.split(' ').collect(), taken(rules, images));
        let (mut want, mut got): (Vec<&str>, Vec<&str>) = (want, got.split(' ').collect());
        want.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, want, "{what}");
    }
}
