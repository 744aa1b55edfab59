// SPDX-License-Identifier: Apache-2.0
//! Tables for people.

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};

use crate::human::plain;

/// What is blank between two columns.
const GAP: u16 = 2;

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    wraps: bool,
}

impl Table {
    /// A list, one entry per row. Where the terminal is too narrow for that without breaking a word, an entry is a block
    /// as of [`Self::fields`]: what is copied (ids, digests, names) stays whole, and nothing is left out.
    pub(crate) fn list<const N: usize>(header: [&'static str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        Self {
            header: header.into(),
            rows: rows.into_iter().map(Into::into).collect(),
            wraps: true,
        }
    }

    /// Keeps each row on one line, however narrow the terminal: for what is meant to be copied.
    pub(crate) fn unwrapped(mut self) -> Self {
        self.wraps = false;
        self
    }

    /// One thing, one member per row; empty members are left out. Never wrapped: digests and passwords get copied.
    pub(crate) fn fields<const N: usize>(fields: [(&'static str, String); N]) -> Self {
        let rows = fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| vec![format!("{name}:"), value]);
        Self {
            header: Vec::new(),
            rows: rows.collect(),
            wraps: false,
        }
    }

    /// Several things with much text, each as [`Self::fields`] with an empty line between; wrapped like a list.
    pub(crate) fn blocks(blocks: impl IntoIterator<Item = Vec<(&'static str, String)>>) -> Self {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for block in blocks {
            if !rows.is_empty() {
                rows.push(vec![String::new(), String::new()]);
            }
            let fields = block.into_iter().filter(|(_, value)| !value.is_empty());
            rows.extend(fields.map(|(name, value)| vec![format!("{name}:"), value]));
        }
        Self {
            header: Vec::new(),
            rows,
            wraps: true,
        }
    }

    /// The text, wrapped to `width` columns if there is one and the table is of those that wrap.
    pub(crate) fn render(&self, width: Option<u16>) -> String {
        match width {
            Some(width) if self.wraps && !self.header.is_empty() && !self.fits(width) => {
                self.expanded().lay_out(None, &[])
            }
            Some(width) if self.wraps => self.lay_out(Some(width), &self.narrowest()),
            _ => self.lay_out(None, &[]),
        }
    }

    /// How wide each column must be to have all of its words whole.
    fn narrowest(&self) -> Vec<usize> {
        let word = |cell: &str| cell.split_whitespace().map(|word| word.chars().count()).max();
        let mut narrowest: Vec<_> = self.header.iter().map(|name| word(name).unwrap_or_default()).collect();
        for row in self.rows.iter().filter(|_| !self.header.is_empty()) {
            for (column, cell) in narrowest.iter_mut().zip(row) {
                *column = word(&plain(cell)).unwrap_or_default().max(*column);
            }
        }
        narrowest
    }

    fn fits(&self, width: u16) -> bool {
        let columns = self.narrowest();
        let gaps = columns.len().saturating_sub(1) * usize::from(GAP);
        columns.iter().sum::<usize>() + gaps <= usize::from(width)
    }

    /// A list with each entry as a block.
    fn expanded(&self) -> Self {
        let names: Vec<_> = self.header.iter().map(|name| name.to_lowercase()).collect();
        let mut rows = Vec::new();
        for row in &self.rows {
            if !rows.is_empty() {
                rows.push(vec![String::new(), String::new()]);
            }
            let fields = names.iter().zip(row).filter(|(_, value)| !value.is_empty());
            rows.extend(fields.map(|(name, value)| vec![format!("{name}:"), value.clone()]));
        }
        Self {
            header: Vec::new(),
            rows,
            wraps: false,
        }
    }

    fn lay_out(&self, width: Option<u16>, narrowest: &[usize]) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        if !self.header.is_empty() {
            table.set_header(&self.header);
        }
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| plain(cell)));
        table.add_rows(rows);
        let columns = table.column_count();
        for column in table.column_iter_mut() {
            let gap = if column.index + 1 == columns { 0 } else { GAP };
            column.set_padding((0, gap));
            if let Some(narrowest) = narrowest.get(column.index) {
                let least = u16::try_from(*narrowest).unwrap_or(u16::MAX).saturating_add(gap);
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Table {
        let rows = [
            [
                "latest, v1.2.3".to_owned(),
                "sha256:0123456789ab".to_owned(),
                "12.3 MB".to_owned(),
                "2 days ago".to_owned(),
            ],
            [
                "-".to_owned(),
                "sha256:ba9876543210".to_owned(),
                "1 B".to_owned(),
                "just now".to_owned(),
            ],
        ];
        Table::list(["TAGS", "DIGEST", "SIZE", "PUSHED"], rows)
    }

    #[test]
    fn a_list_has_aligned_columns() {
        insta::assert_snapshot!(images().render(None), @r"
        TAGS            DIGEST               SIZE     PUSHED
        latest, v1.2.3  sha256:0123456789ab  12.3 MB  2 days ago
        -               sha256:ba9876543210  1 B      just now
        ");
    }

    #[test]
    fn a_narrow_terminal_wraps_and_never_overflows() {
        let text = images().render(Some(50));
        assert!(text.lines().all(|line| line.chars().count() <= 50), "{text}");
        assert!(text.lines().count() > 3, "{text}");
    }

    #[test]
    fn no_word_is_ever_broken() {
        let id = "0197f3c1-7d52-7b60-8c5e-2f5a9b1c3d4e";
        let row = |reason: &str| {
            [
                id.to_owned(),
                "in progress".to_owned(),
                "eu-west-1/000000000000".to_owned(),
                reason.to_owned(),
            ]
        };
        let table = Table::list(
            ["ID", "STATUS", "DESTINATION", "REASON"],
            [row("it is not there"), row("")],
        );
        for width in 1..200 {
            let text = table.render(Some(width));
            for word in [id, "progress", "eu-west-1/000000000000"] {
                assert_eq!(text.matches(word).count(), 2, "{width}: {text}");
            }
            let is_list = text.starts_with("ID");
            assert_eq!(is_list, width >= 36 + 8 + 22 + 6 + 6, "{width}: {text}");
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(!is_list || longest <= usize::from(width), "{width}: {text}");
        }
        insta::assert_snapshot!(table.render(Some(60)), @r"
        id:           0197f3c1-7d52-7b60-8c5e-2f5a9b1c3d4e
        status:       in progress
        destination:  eu-west-1/000000000000
        reason:       it is not there

        id:           0197f3c1-7d52-7b60-8c5e-2f5a9b1c3d4e
        status:       in progress
        destination:  eu-west-1/000000000000
        ");
    }

    #[test]
    fn a_list_without_entries_has_its_header() {
        assert_eq!(Table::list(["ID", "STATUS"], []).render(Some(80)), "ID  STATUS");
    }

    #[test]
    fn what_is_meant_to_be_copied_stays_on_its_line() {
        let password = "x".repeat(100);
        let text = Table::fields([("password", password.clone())]).render(Some(40));
        assert!(text.contains(&password), "{text}");
        let text = images().unwrapped().render(Some(40));
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn blocks_are_wrapped_beside_their_names() {
        let block = |number: u8| {
            let long = format!("{number}: nobody may do that, and nobody ever could");
            vec![
                ("action", "ecr:PutImage".to_owned()),
                ("reason", long),
                ("provided", String::new()),
            ]
        };
        insta::assert_snapshot!(Table::blocks([block(1), block(2)]).render(Some(36)), @r"
        action:  ecr:PutImage
        reason:  1: nobody may do that, and
                 nobody ever could

        action:  ecr:PutImage
        reason:  2: nobody may do that, and
                 nobody ever could
        ");
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let fields = [
            ("name", "web".to_owned()),
            ("kms key", String::new()),
            ("uri", "127.0.0.1:5000/web".to_owned()),
        ];
        insta::assert_snapshot!(Table::fields(fields).render(None), @r"
        name:  web
        uri:   127.0.0.1:5000/web
        ");
    }
}
