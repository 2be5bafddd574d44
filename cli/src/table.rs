//! Tables with aligned columns.

use std::fmt;

/// Rows of text under a heading. A heading that starts with `>` makes its column right-aligned.
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; line breaks and control characters become spaces.
    pub(crate) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        let plain = |cell: String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.rows.push(cells.into_iter().map(plain).collect());
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn title(head: &str) -> &str {
        head.trim_start_matches('>')
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = self
            .heads
            .iter()
            .enumerate()
            .map(|(column, head)| {
                let cells =
                    self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                cells.chain([Self::title(head).chars().count()]).max().unwrap_or_default()
            })
            .collect();
        let heads = self.heads.iter().map(|head| Self::title(head).to_owned()).collect();
        for (number, row) in std::iter::once(&heads).chain(&self.rows).enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            let mut line = String::new();
            for ((cell, width), head) in row.iter().zip(&widths).zip(&self.heads) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                if head.starts_with('>') {
                    line.push_str(&format!("{cell:>width$}"));
                } else {
                    line.push_str(&format!("{cell:<width$}"));
                }
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

/// At most `limit` characters, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let mut table = Table::new(&["NAME", ">JOBS", "WHY"]);
        table.row(["ä".into(), "5".into(), "a\nb".into()]);
        table.row(["default".into(), "12345".into(), String::new()]);
        assert_eq!(table.to_string(), "NAME      JOBS  WHY\nä            5  a b\ndefault  12345");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
