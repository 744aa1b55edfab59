// SPDX-License-Identifier: Apache-2.0
//! Wildcards of policies: `*` for any characters, `?` for exactly one.

/// Whether `pattern` covers the whole of `text`, byte for byte (names of actions and ARNs are ASCII).
///
/// Takes time proportional to the product of both lengths at most, whatever the pattern.
pub(crate) fn covers(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one byte further in the text.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if wanted == byte || *wanted == b'?' => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    p = after_star;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Whether an ARN pattern covers an ARN: part by part, so that a wildcard does not reach across a colon of
/// the first five parts (IAM, "Resource: using wildcards in resource ARNs").
pub(crate) fn covers_arn(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let mut patterns = pattern.splitn(ARN_PARTS, ':');
    let mut parts = arn.splitn(ARN_PARTS, ':');
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if covers(pattern, part) => {}
            _ => return false,
        }
    }
}

/// The parts of an ARN: `arn`, partition, service, region, account, resource.
pub(crate) const ARN_PARTS: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_cover_whole_texts() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*", "a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*", "abc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("ecr:Get*", "ecr:GetAuthorizationToken", true),
            ("ecr:Get*", "ecr:PutImage", false),
            ("**", "x", true),
            ("*?", "", false),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(covers(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn wildcards_stay_within_a_part_of_an_arn() {
        let arn = "arn:aws:ecr:local:000000000000:repository/team-a/web";
        let cases = [
            ("*", true),
            ("arn:aws:ecr:*:*:repository/*", true),
            ("arn:aws:ecr:local:000000000000:repository/team-a/*", true),
            ("arn:aws:ecr:local:000000000000:repository/team-b/*", false),
            ("arn:aws:ecr:*:repository/*", false),
            ("arn:*:*:*:*:*", true),
            ("arn:aws:ecr:*", false),
        ];
        for (pattern, want) in cases {
            assert_eq!(covers_arn(pattern, arn), want, "{pattern}");
        }
        assert!(!covers_arn("arn:aws:ecr:local:000000000000:repository/*", "*"));
    }

    proptest! {
        /// The textbook definition as an oracle.
        #[test]
        fn agrees_with_the_recursive_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern {
                    [] => text.is_empty(),
                    [b'*', rest @ ..] => (0..=text.len()).any(|n| slow(rest, &text[n..])),
                    [b'?', rest @ ..] => !text.is_empty() && slow(rest, &text[1..]),
                    [byte, rest @ ..] => text.first() == Some(byte) && slow(rest, &text[1..]),
                }
            }
            prop_assert_eq!(covers(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
