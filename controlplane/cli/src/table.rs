// SPDX-License-Identifier: Apache-2.0
//! Tables for people.

use comfy_table::{ContentArrangement, presets};

use crate::human::plain;

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    wraps: bool,
}

impl Table {
    /// A list, one entry per row.
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
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = width.filter(|_| self.wraps) {
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
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
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
        let text = images().render(Some(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.lines().count() > 3, "{text}");
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
        reason:  1: nobody may do that,
                 and nobody ever could

        action:  ecr:PutImage
        reason:  2: nobody may do that,
                 and nobody ever could
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
