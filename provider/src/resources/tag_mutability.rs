// SPDX-License-Identifier: Apache-2.0
//! Whether tags may move, and which are an exception: of repositories, and of templates of them.

use hythe_model::{ExclusionFilter, TagMutability, TagMutabilityMode};
use hythe_wire::ImageTagMutabilityExclusionFilter;
use tfplugin::{Attr, Diagnostics, Object, Path, Result, Set};

use crate::argument::{invalid, parses};

pub(crate) const WILDCARD: &str = "WILDCARD";
const MODE: &str = "image_tag_mutability";
const FILTERS: &str = "image_tag_mutability_exclusion_filter";

/// Tags that are an exception.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct ExclusionFilterModel {
    /// The pattern, such as `dev-*`: 1 to 128 letters, digits, `.`, `_`, `-` and at most two `*`, which stand for any
    /// characters.
    #[tf(required, validate = parses::<ExclusionFilter>)]
    pub filter: Attr<String>,
    /// How the pattern is read.
    #[tf(optional, default = WILDCARD, one_of = [WILDCARD])]
    pub filter_type: Attr<String>,
}

/// The filters, sorted; `None` if there is none.
pub(crate) fn filters_of(
    filters: &Attr<Set<ExclusionFilterModel>>,
) -> Result<Option<Vec<ImageTagMutabilityExclusionFilter>>> {
    let Some(filters) = filters.known() else {
        return Ok(None);
    };
    let mut parsed = Vec::new();
    for filter in filters {
        let text = filter.filter.required("filter")?;
        let filter: ExclusionFilter = text
            .parse()
            .map_err(|error: hythe_model::ParseError| invalid(Path::new(FILTERS), error.to_string()))?;
        parsed.push(filter.into());
    }
    parsed.sort();
    Ok((!parsed.is_empty()).then_some(parsed))
}

/// What the server says, where `written` was there before: it does not tell an empty set from none.
pub(crate) fn observed_filters(
    written: &Attr<Set<ExclusionFilterModel>>,
    server: Vec<ImageTagMutabilityExclusionFilter>,
) -> Attr<Set<ExclusionFilterModel>> {
    if server.is_empty() && written.known().is_none() {
        return Attr::Null;
    }
    let object = |filter: ImageTagMutabilityExclusionFilter| ExclusionFilterModel {
        filter: String::from(filter.filter).into(),
        filter_type: WILDCARD.into(),
    };
    Attr::Known(server.into_iter().map(object).collect())
}

/// The mode and its filters, by the server's own rules, as far as they are known.
pub(crate) fn check(mode: &Attr<String>, filters: &Attr<Set<ExclusionFilterModel>>, diagnostics: &mut Diagnostics) {
    let mode = match mode {
        Attr::Unknown => return,
        Attr::Null => TagMutabilityMode::default(),
        // A text that is none is already refused by the schema.
        Attr::Known(mode) => match mode.parse() {
            Ok(mode) => mode,
            Err(_) => return,
        },
    };
    let is_null = filters.is_null();
    let filters: Option<Vec<ExclusionFilter>> = match filters {
        Attr::Unknown => return,
        Attr::Null => Some(Vec::new()),
        Attr::Known(filters) => filters
            .iter()
            .map(|filter| filter.filter.as_str()?.parse().ok())
            .collect(),
    };
    let Some(filters) = filters else { return };
    let is_absent = filters.is_empty() && is_null;
    match TagMutability::new(mode, filters) {
        Ok(_) => {}
        Err(_) if is_absent => {
            let problem = format!("`{}` needs `{FILTERS}`, with 1 to 5 patterns.", mode.as_str());
            diagnostics.push(invalid(Path::new(MODE), problem));
        }
        Err(error) => diagnostics.push(invalid(Path::new(FILTERS), error.to_string())),
    }
}
