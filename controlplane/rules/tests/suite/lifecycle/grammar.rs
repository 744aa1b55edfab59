// SPDX-License-Identifier: Apache-2.0
//! What may stand in a lifecycle policy, and in which words the rest is refused.

use hythe_rules::lifecycle::{LifecyclePolicy, MAX_LIFECYCLE_POLICY_CHARS, MAX_LIFECYCLE_RULES, RulePriority};
use serde_json::{Value, json};

use super::support::policy_json;

const UNTAGGED: &str = r#"{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1}"#;
const EXPIRE: &str = r#"{"type":"expire"}"#;

fn rule(selection: &str, action: &str) -> String {
    format!(r#"{{"rules":[{{"rulePriority":1,"selection":{selection},"action":{action}}}]}}"#)
}

fn refused(text: &str) -> (String, String) {
    let error = LifecyclePolicy::parse(text).expect_err(text);
    assert_eq!(
        error.to_string(),
        format!("Lifecycle policy validation failure: {}", error.reason())
    );
    (error.pointer().to_owned(), error.reason().to_owned())
}

#[test]
fn documents_that_are_not_understood_are_refused_in_the_words_of_ecr() {
    let rule = rule(UNTAGGED, EXPIRE);
    let cases = [
        ("{", "", "Could not map policyString into LifecyclePolicy."),
        ("[]", "", "Could not map policyString into LifecyclePolicy."),
        ("7", "", "Could not map policyString into LifecyclePolicy."),
        ("{}", "", r#"object has missing required properties (["rules"])"#),
        (
            r#"{"rules":[],"version":1}"#,
            "/version",
            r#"object instance has properties which are not allowed by the schema: ["version"]"#,
        ),
        (
            r#"{"rules":{}}"#,
            "/rules",
            r#"instance type (object) does not match any allowed primitive type (allowed: ["array"])"#,
        ),
        (
            r#"{"rules":[]}"#,
            "/rules",
            "array is too short: must have at least 1 elements but instance has 0 elements",
        ),
        (
            r#"{"rules":[7]}"#,
            "/rules/0",
            r#"instance type (integer) does not match any allowed primitive type (allowed: ["object"])"#,
        ),
        (
            r#"{"rules":[{}]}"#,
            "/rules/0",
            r#"object has missing required properties (["action","rulePriority","selection"])"#,
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":0"#),
            "/rules/0/rulePriority",
            "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":"1""#),
            "/rules/0/rulePriority",
            r#"instance type (string) does not match any allowed primitive type (allowed: ["integer"])"#,
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":1.5"#),
            "/rules/0/rulePriority",
            r#"instance type (number) does not match any allowed primitive type (allowed: ["integer"])"#,
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":2147483648"#),
            "/rules/0/rulePriority",
            "numeric instance is greater than the required maximum (maximum: 2147483647, found: 2147483648)",
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":99999999999999999999"#),
            "/rules/0/rulePriority",
            "",
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":1,"description":null"#),
            "/rules/0/description",
            r#"instance type (null) does not match any allowed primitive type (allowed: ["string"])"#,
        ),
        (
            &rule.replace(r#""rulePriority":1"#, r#""rulePriority":1,"rulePriority":1"#),
            "/rules/0/rulePriority",
            "Could not map policyString into LifecyclePolicy. The member stands here twice.",
        ),
    ];
    for (text, pointer, reason) in cases {
        let got = refused(text);
        assert_eq!(got.0, pointer, "{text}");
        assert!(got.1.starts_with(reason), "{text}: {}", got.1);
    }
    let long = format!("{rule}{}", " ".repeat(MAX_LIFECYCLE_POLICY_CHARS));
    assert!(refused(&long).1.starts_with("string is too long"));
    let fits = format!("{rule}{}", " ".repeat(MAX_LIFECYCLE_POLICY_CHARS - rule.len()));
    assert!(LifecyclePolicy::parse(&fits).is_ok());
    // The limit is on characters, not on bytes.
    let described = rule.replacen(
        r#""rulePriority""#,
        &format!(r#""description":"{}","rulePriority""#, "é".repeat(30_000)),
        1,
    );
    assert!(LifecyclePolicy::parse(&described).is_ok());
    assert!(LifecyclePolicy::parse(&"[".repeat(30_000)).is_err());
    let many = |count: usize| {
        let rules = (1..=count).map(|n| format!("{n} v{n} count 1")).collect::<Vec<_>>();
        policy_json(&rules.join(";")).to_string()
    };
    assert!(LifecyclePolicy::parse(&many(MAX_LIFECYCLE_RULES)).is_ok());
    let (pointer, reason) = refused(&many(MAX_LIFECYCLE_RULES + 1));
    assert_eq!(pointer, "/rules");
    assert_eq!(
        reason,
        "array is too long: must have at most 50 elements but instance has 51 elements"
    );
}

#[test]
fn selections_that_are_not_understood_are_refused_in_the_words_of_ecr() {
    let one_of = "instance failed to match exactly one schema (matched 0 out of 2)";
    let standard_only =
        "SINCE_IMAGE_PUSHED, SINCE_IMAGE_PULLED and IMAGE_COUNT_MORE_THAN support the STANDARD storage class only";
    let cases = [
        (
            r#"{"countNumber":1}"#,
            "",
            r#"object has missing required properties (["countType","tagStatus"])"#,
        ),
        (
            r#"{"tagStatus":"x","countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagStatus",
            r#"instance value ("x") not found in enum (possible values: ["any","tagged","untagged"])"#,
        ),
        (
            r#"{"tagStatus":"Any","countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagStatus",
            r#"instance value ("Any") not found in enum"#,
        ),
        (
            r#"{"tagStatus":"any","countType":"imageCount","countNumber":1}"#,
            "/countType",
            r#"instance value ("imageCount") not found in enum (possible values: ["imageCountMoreThan","sinceImagePulled","sinceImagePushed","sinceImageTransitioned"])"#,
        ),
        (
            r#"{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":0}"#,
            "/countNumber",
            "numeric instance is lower than the required minimum (minimum: 1, found: 0)",
        ),
        (
            r#"{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1,"countUnit":"days"}"#,
            "",
            one_of,
        ),
        (
            r#"{"tagStatus":"any","countType":"sinceImagePushed","countNumber":1}"#,
            "",
            one_of,
        ),
        (
            r#"{"tagStatus":"any","countType":"sinceImagePushed","countNumber":1,"countUnit":"months"}"#,
            "/countUnit",
            r#"instance value ("months") not found in enum"#,
        ),
        (
            r#"{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1,"tagRegex":"x"}"#,
            "/tagRegex",
            r#"object instance has properties which are not allowed by the schema: ["tagRegex"]"#,
        ),
        (
            r#"{"tagStatus":"tagged","countType":"imageCountMoreThan","countNumber":1}"#,
            "",
            "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.",
        ),
        (
            r#"{"tagStatus":"tagged","tagPrefixList":["a"],"tagPatternList":["a"],"countType":"imageCountMoreThan","countNumber":1}"#,
            "",
            "If policy has a tagged rule, it must specify only one of tagPrefixList or tagPatternList",
        ),
        (
            r#"{"tagStatus":"untagged","tagPatternList":["a"],"countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagPatternList",
            "Cannot specify tagPatternList with tagStatus UNTAGGED",
        ),
        (
            r#"{"tagStatus":"any","tagPrefixList":[],"countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagPrefixList",
            "Cannot specify tagPrefixList with tagStatus ANY",
        ),
        (
            r#"{"tagStatus":"tagged","tagPrefixList":[],"countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagPrefixList",
            "array is too short",
        ),
        (
            r#"{"tagStatus":"tagged","tagPatternList":["a",""],"countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagPatternList/1",
            r#"string "" is too short (length: 0, required minimum: 1)"#,
        ),
        (
            r#"{"tagStatus":"tagged","tagPatternList":["*a*b*c*d*"],"countType":"imageCountMoreThan","countNumber":1}"#,
            "/tagPatternList/0",
            "Invalid tag pattern provided",
        ),
        (
            r#"{"tagStatus":"any","storageClass":"archive","countType":"sinceImagePushed","countNumber":1,"countUnit":"days"}"#,
            "/storageClass",
            standard_only,
        ),
        (
            r#"{"tagStatus":"any","countType":"sinceImageTransitioned","countNumber":90,"countUnit":"days"}"#,
            "/storageClass",
            "SINCE_IMAGE_TRANSITIONED supports the ARCHIVE storage class only",
        ),
        (
            r#"{"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countNumber":89,"countUnit":"days"}"#,
            "/countNumber",
            "numeric instance is lower than the required minimum (minimum: 90, found: 89)",
        ),
        (
            r#"{"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countNumber":12,"countUnit":"weeks"}"#,
            "/countNumber",
            "numeric instance is lower than the required minimum (minimum: 13, found: 12)",
        ),
        (
            r#"{"tagStatus":"any","storageClass":"glacier","countType":"imageCountMoreThan","countNumber":1}"#,
            "/storageClass",
            r#"instance value ("glacier") not found in enum (possible values: ["archive","standard"])"#,
        ),
    ];
    for (selection, pointer, reason) in cases {
        let got = refused(&rule(selection, EXPIRE));
        assert_eq!(got.0, format!("/rules/0/selection{pointer}"), "{selection}");
        assert!(got.1.starts_with(reason), "{selection}: {}", got.1);
    }
}

#[test]
fn actions_that_are_not_understood_are_refused_in_the_words_of_ecr() {
    let one_of = "instance failed to match exactly one schema (matched 0 out of 2)";
    for (action, pointer, reason) in [
        ("{}", "", r#"object has missing required properties (["type"])"#),
        (
            r#"{"type":"delete"}"#,
            "/type",
            r#"instance value ("delete") not found in enum"#,
        ),
        (r#"{"type":"expire","targetStorageClass":"archive"}"#, "", one_of),
        (r#"{"type":"expire","targetStorageClass":null}"#, "", one_of),
        (
            r#"{"type":"transition"}"#,
            "",
            "Could not map policyString into LifecyclePolicy.",
        ),
        (
            r#"{"type":"transition","targetStorageClass":"cold"}"#,
            "/targetStorageClass",
            r#"instance value ("cold") not found in enum (possible values: ["archive"])"#,
        ),
    ] {
        let got = refused(&rule(UNTAGGED, action));
        assert_eq!(got.0, format!("/rules/0/action{pointer}"), "{action}");
        assert!(got.1.starts_with(reason), "{action}: {}", got.1);
    }
    let archived = r#"{"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned","countNumber":99,"countUnit":"days"}"#;
    let transition = r#"{"type":"transition","targetStorageClass":"archive"}"#;
    assert_eq!(
        refused(&rule(archived, transition)).0,
        "/rules/0/selection/storageClass"
    );
}

#[test]
fn rules_have_to_go_together() {
    let cases = [
        (
            "1 a count 1; 1 b count 1",
            "/rules/1/rulePriority",
            "Duplicate priority in multiple rules",
        ),
        (
            "1 any count 1; 2 any pushed 1 days",
            "/rules/0/rulePriority",
            "Rule for tagStatus=ANY must have the lowest priority per storage class",
        ),
        (
            "2 any count 1; 1 any pushed 1 days",
            "/rules/1/selection/tagStatus",
            "Only one rule can specify tagStatus=ANY",
        ),
        (
            "1 any count 1; 2 a count 1",
            "/rules/0/rulePriority",
            "Rule for tagStatus=ANY must have the lowest priority",
        ),
        (
            "1 any count 1; 2 a retain",
            "/rules/0/rulePriority",
            "Rule for tagStatus=ANY must have the lowest priority",
        ),
        (
            "1 untagged count 1; 2 untagged pushed 1 days",
            "/rules/1/selection/tagStatus",
            "Only one rule can select Untagged images per storage class",
        ),
        (
            "1 a+b count 1; 2 b+a pushed 1 days",
            "/rules/1/selection/tagPatternList",
            "Duplicate tagPatternList in multiple rules",
        ),
        (
            "1 a+b count 1; 2 b+a+b pushed 1 days",
            "/rules/1/selection/tagPatternList",
            "Duplicate tagPatternList in multiple rules",
        ),
    ];
    for (rules, pointer, reason) in cases {
        let got = refused(&policy_json(rules).to_string());
        assert_eq!(got.0, pointer, "{rules}");
        assert!(got.1.starts_with(reason), "{rules}: {}", got.1);
    }
    for good in [
        "7 any count 1; 3 a count 1",
        "1 any pushed 9 days archive; 2 any in-archive transitioned 90 days",
        "9 any pushed 9 days archive; 2 untagged in-archive transitioned 90 days; 1 untagged count 1",
        "1 a count 1; 2 a+b count 1",
        "1 any pulled 7 days retain; 2 untagged count 1 retain; 3 untagged count 1; 4 any count 9",
        "1 a retain; 2 a count 1 retain; 3 a count 1",
        "1 any in-archive retain",
        "1 any in-archive transitioned 3 hours retain",
    ] {
        let text = policy_json(good).to_string();
        LifecyclePolicy::parse(&text).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn strict_mode_refuses_what_ecr_does_not_have_and_nothing_else() {
    let ours = [
        ("1 any pulled 30 days", "/rules/0/selection/countType"),
        ("1 any pushed 48 hours", "/rules/0/selection/countUnit"),
        ("1 any pushed 2 weeks", "/rules/0/selection/countUnit"),
        ("1 any retain", "/rules/0/action/type"),
        ("1 any count 2 retain", "/rules/0/action/type"),
    ];
    for (rules, pointer) in ours {
        let text = policy_json(rules).to_string();
        assert!(LifecyclePolicy::parse(&text).is_ok(), "{rules}");
        assert_eq!(
            LifecyclePolicy::parse_strict(&text).unwrap_err().pointer(),
            pointer,
            "{rules}"
        );
    }
    let theirs = "1 prod* count 1; 2 untagged pushed 1 days; 3 any pulled 30 days archive; 4 any in-archive transitioned 90 days";
    let text = policy_json(theirs).to_string();
    assert_eq!(
        LifecyclePolicy::parse_strict(&text).unwrap(),
        LifecyclePolicy::parse(&text).unwrap()
    );
    let text = rule(UNTAGGED, r#"{"type":"retire"}"#);
    let error = LifecyclePolicy::parse_strict(&text).unwrap_err();
    assert_eq!(
        error.reason(),
        r#"instance value ("retire") not found in enum (possible values: ["expire","transition"])"#
    );
}

#[test]
fn documents_that_say_the_same_are_equal() {
    let base = policy_json("1 a*+b* count 1; 2 untagged pushed 1 days archive");
    let parse = |value: &Value| LifecyclePolicy::parse(&value.to_string()).unwrap();
    let same = [policy_json("2 untagged pushed 1 days archive; 1 b*+a*+a* count 1"), {
        let mut value = base.clone();
        value["rules"][0]["selection"]["storageClass"] = "standard".into();
        value["rules"][0]["description"] = "".into();
        value
    }];
    for other in &same {
        assert_eq!(parse(other), parse(&base), "{other}");
        assert_eq!(parse(other).canonical(), parse(&base).canonical());
    }
    let different = [
        policy_json("1 a*+b* count 2; 2 untagged pushed 1 days archive"),
        policy_json("1 a*+b* count 1; 3 untagged pushed 1 days archive"),
        policy_json("1 a*+b* count 1; 2 untagged pushed 1 days"),
        policy_json("1 a* count 1; 2 untagged pushed 1 days archive"),
        policy_json("1 a*+b* count 1; 2 untagged pushed 24 hours archive"),
        policy_json("1 a*+b* count 1"),
        {
            let mut value = base.clone();
            value["rules"][0]["description"] = "why".into();
            value
        },
    ];
    for other in &different {
        assert_ne!(parse(other), parse(&base), "{other}");
    }
    let prefixes = json!({"rules":[{"rulePriority":1,"selection":{"tagStatus":"tagged","tagPrefixList":["b","a","b"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]});
    assert_eq!(
        parse(&prefixes).canonical(),
        r#"{"rules":[{"action":{"type":"expire"},"rulePriority":1,"selection":{"countNumber":1,"countType":"imageCountMoreThan","tagPrefixList":["a","b"],"tagStatus":"tagged"}}]}"#
    );
    assert_eq!(
        parse(&serde_json::from_str(parse(&base).canonical()).unwrap()),
        parse(&base)
    );
}

#[test]
fn no_policy_is_shorter_than_ecr_takes() {
    let shortest = rule(
        r#"{"tagStatus":"any","countType":"sinceImagePushed","countNumber":1,"countUnit":"days"}"#,
        EXPIRE,
    )
    .len()
    .min(rule(UNTAGGED, EXPIRE).len())
    .min(
        rule(
            r#"{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1}"#,
            EXPIRE,
        )
        .len(),
    );
    assert!(shortest >= 100, "{shortest}");
    assert_eq!(RulePriority::new(0), None);
    assert_eq!(RulePriority::new(u32::MAX), None);
}
