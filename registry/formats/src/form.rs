// SPDX-License-Identifier: Apache-2.0
//! Which form of a manifest a client wants (RFC 9110, section 12.5.1, "Accept").

use hythe_model::MediaType;

/// The weight of a media range that says none; weights are in thousandths.
const FULL_WEIGHT: u16 = 1000;
/// The last minor version of the engine's major version 1 that knows no schema 2, and sends no `Accept`.
const LAST_OLD_ENGINE: u32 = 9;

/// A form that a stored manifest can be given out in instead of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// An OCI image manifest.
    Oci,
    /// A Docker manifest of schema 2.
    Docker,
    /// A Docker manifest of schema 1 with a signature.
    SignedSchema1,
    /// A Docker manifest of schema 1 without signatures.
    Schema1,
}

/// The `Accept` headers of a request: what gives their values, each a list of media ranges. They are gone through more
/// than once, and nothing is allocated for it.
#[derive(Clone, Copy, Debug)]
pub struct Accept<F>(pub F);

impl Form {
    /// The media type of manifests of this form.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Oci => MediaType::OCI_MANIFEST,
            Self::Docker => MediaType::DOCKER_MANIFEST,
            Self::SignedSchema1 => MediaType::DOCKER_SCHEMA1_SIGNED,
            Self::Schema1 => MediaType::DOCKER_SCHEMA1,
        }
    }

    /// What a manifest of media type `stored` can become, best first (ECR guide, "Container image manifest formats").
    /// Indexes and schema 1 stay what they are.
    fn of(stored: &str) -> &'static [Self] {
        match stored {
            MediaType::DOCKER_MANIFEST => &[Self::Oci, Self::SignedSchema1, Self::Schema1],
            MediaType::OCI_MANIFEST => &[Self::Docker],
            _ => &[],
        }
    }

    /// The form to translate a manifest of media type `stored` to; `None` if it is to be served as it is. That is so
    /// unless the client says what it takes, the stored type is not among it, and a form that it can become is.
    ///
    /// Engines up to 1.9 take schema 1 alone and send no `Accept`; they are known by their `user_agent`.
    pub fn wanted<'a, F, I>(stored: &str, accept: &Accept<F>, user_agent: Option<&str>) -> Option<Self>
    where
        F: Fn() -> I,
        I: Iterator<Item = &'a str>,
    {
        let forms = Self::of(stored);
        if forms.is_empty() {
            return None;
        }
        if accept.ranges().next().is_none() {
            let is_old = user_agent.is_some_and(is_old_engine);
            return forms
                .contains(&Self::SignedSchema1)
                .then_some(Self::SignedSchema1)
                .filter(|_| is_old);
        }
        if accept.weight(stored, Wildcards::Count).is_some_and(|weight| weight > 0) {
            return None;
        }
        // Schema 1 is for those who ask for it: a client that takes anything but schema 2 can have OCI.
        let weighed = forms.iter().filter_map(|form| {
            let wildcards = match form {
                Self::Oci | Self::Docker => Wildcards::Count,
                Self::SignedSchema1 | Self::Schema1 => Wildcards::Ignore,
            };
            let weight = accept.weight(form.media_type(), wildcards)?;
            (weight > 0).then_some((weight, *form))
        });
        let heavier = |best: (u16, Self), next: (u16, Self)| if next.0 > best.0 { next } else { best };
        weighed.reduce(heavier).map(|(_, form)| form)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wildcards {
    Count,
    Ignore,
}

impl<'a, F: Fn() -> I, I: Iterator<Item = &'a str>> Accept<F> {
    /// The media ranges, each with its parameters.
    fn ranges(&self) -> impl Iterator<Item = &'a str> {
        let ranges = (self.0)().flat_map(|value| value.split(','));
        ranges.map(str::trim).filter(|range| !range.is_empty())
    }

    /// The weight of a media type, in thousandths: that of the most specific range that covers it. `None` if none does.
    fn weight(&self, media_type: &str, wildcards: Wildcards) -> Option<u16> {
        let mut best: Option<(u8, u16)> = None;
        for range in self.ranges() {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let name = name.trim_end();
            let precision = if name.eq_ignore_ascii_case(media_type) {
                2
            } else if wildcards == Wildcards::Ignore {
                continue;
            } else if name.eq_ignore_ascii_case("application/*") {
                1
            } else if name == "*/*" {
                0
            } else {
                continue;
            };
            best = best.max(Some((precision, weight_of(parameters))));
        }
        best.map(|(_, weight)| weight)
    }
}

/// The weight among the parameters of a range; one that cannot be read counts as none.
fn weight_of(parameters: &str) -> u16 {
    let named = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let mut weights = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weights
        .next()
        .and_then(|(_, text)| thousandths(text.trim()))
        .unwrap_or(FULL_WEIGHT)
}

/// Reads `0`, `0.25` or `1.000` (RFC 9110, section 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let fraction = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some((whole * FULL_WEIGHT + fraction).min(FULL_WEIGHT))
}

/// Whether it is `docker/1.9.1 go/…` or older.
fn is_old_engine(user_agent: &str) -> bool {
    let minor = user_agent.strip_prefix("docker/1.").map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    minor
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_some_and(|minor| minor <= LAST_OLD_ENGINE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(stored: &str, accept: &[&str], user_agent: &str) -> Option<Form> {
        Form::wanted(stored, &Accept(|| accept.iter().copied()), Some(user_agent))
    }

    #[test]
    fn accept_decides() {
        const S2: &str = MediaType::DOCKER_MANIFEST;
        const OCI: &str = MediaType::OCI_MANIFEST;
        const JWS: &str = MediaType::DOCKER_SCHEMA1_SIGNED;
        const S1: &str = MediaType::DOCKER_SCHEMA1;
        let list = &[MediaType::DOCKER_LIST, OCI].join(", ");
        let upper = &OCI.to_ascii_uppercase();
        let cases: &[(&str, &str, &[&str], Option<Form>)] = &[
            ("nothing said", S2, &[], None),
            ("nothing in it", S2, &["", " , "], None),
            ("the stored type", S2, &[S2], None),
            ("the stored type among others", S2, &[OCI, S2], None),
            ("in one header", S2, &[&format!("{OCI},{S2}")], None),
            ("anything", S2, &["*/*"], None),
            ("any application", S2, &["text/html, application/*;q=0.1"], None),
            ("nonsense", S2, &["nonsense"], None),
            ("JSON", S2, &["application/json"], None),
            ("another case", OCI, &[upper], None),
            ("OCI", S2, &[OCI], Some(Form::Oci)),
            ("OCI and lists", S2, &[list], Some(Form::Oci)),
            (
                "with a parameter",
                S2,
                &[&format!("{OCI}; charset=utf-8")],
                Some(Form::Oci),
            ),
            ("OCI, though schema 1 too", S2, &[JWS, OCI], Some(Form::Oci)),
            (
                "schema 1 rather",
                S2,
                &[&format!("{OCI};q=0.5, {JWS};q=0.9")],
                Some(Form::SignedSchema1),
            ),
            ("signed schema 1", S2, &[JWS], Some(Form::SignedSchema1)),
            ("unsigned schema 1", S2, &[S1], Some(Form::Schema1)),
            ("either schema 1", S2, &[S1, JWS], Some(Form::SignedSchema1)),
            ("anything but", S2, &[&format!("{S2};q=0, */*")], Some(Form::Oci)),
            (
                "anything but, specific first",
                S2,
                &[&format!("*/*;q=1, {S2}; q=0.000")],
                Some(Form::Oci),
            ),
            ("nothing at all", S2, &["*/*;q=0"], None),
            ("the form is excluded", S2, &[&format!("{OCI};q=0")], None),
            ("schema 2", OCI, &[S2], Some(Form::Docker)),
            (
                "schema 2 and lists",
                OCI,
                &[MediaType::DOCKER_LIST, S2],
                Some(Form::Docker),
            ),
            ("schema 1 of OCI", OCI, &[JWS], None),
            ("an unreadable weight is full", OCI, &[&format!("{OCI};q=x")], None),
            ("an index", MediaType::OCI_INDEX, &[OCI], None),
            ("a list", MediaType::DOCKER_LIST, &[OCI, S2], None),
            ("schema 1 stays", JWS, &[S2, OCI], None),
        ];
        for (what, stored, accept, want) in cases {
            assert_eq!(wanted(stored, accept, "curl/8"), *want, "{what}");
        }
    }

    #[test]
    fn old_engines_get_schema_1() {
        for (user_agent, is_old) in [
            (
                "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/4.4 os/linux arch/amd64",
                true,
            ),
            ("docker/1.6.0", true),
            ("docker/1.10.0 go/go1.5", false),
            ("docker/1.", false),
            ("docker/17.03.0-ce", false),
            ("Docker-Client/1.9.1", false),
        ] {
            let want = is_old.then_some(Form::SignedSchema1);
            assert_eq!(
                wanted(MediaType::DOCKER_MANIFEST, &[], user_agent),
                want,
                "{user_agent}"
            );
            assert_eq!(wanted(MediaType::OCI_MANIFEST, &[], user_agent), None, "{user_agent}");
            assert_eq!(
                wanted(MediaType::DOCKER_MANIFEST, &["*/*"], user_agent),
                None,
                "{user_agent}"
            );
        }
    }

    #[test]
    fn weights_are_thousandths() {
        for (text, want) in [
            ("1", Some(1000)),
            ("0", Some(0)),
            ("0.5", Some(500)),
            ("0.001", Some(1)),
            ("1.000", Some(1000)),
            ("0.", Some(0)),
            ("1.5", Some(1000)),
            ("2", None),
            ("0.0001", None),
            ("-1", None),
            ("", None),
            ("0.x", None),
            ("+0", Some(0)),
        ] {
            assert_eq!(thousandths(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(values in proptest::collection::vec(".{0,60}", 0..4), agent in ".{0,40}") {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            for stored in [MediaType::DOCKER_MANIFEST, MediaType::OCI_MANIFEST] {
                if let Some(form) = wanted(stored, &values, &agent) {
                    prop_assert!(form.media_type() != stored);
                }
            }
        }

        #[test]
        fn a_listed_type_is_served_as_it_is(
            mut ranges in proptest::collection::vec("[a-z*]{1,8}/[a-z*+.]{1,8}(;q=(0|1|0\\.[0-9]{1,3}))?", 0..6),
            at in any::<proptest::sample::Index>(),
        ) {
            ranges.insert(at.index(ranges.len() + 1), MediaType::DOCKER_MANIFEST.into());
            prop_assert_eq!(wanted(MediaType::DOCKER_MANIFEST, &[&ranges.join(", ")], ""), None);
        }
    }
}
