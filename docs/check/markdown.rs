//! The little of Markdown that the checks need: links, headings, code in backticks, table rows.

/// The targets of `[text](target)` and `<https://…>`-free images in a page, without fenced code.
#[must_use]
pub fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        let line = without_code(line);
        let mut rest = line.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split_whitespace().next().unwrap_or_default();
            found.push(target.to_owned());
            rest = &rest[end..];
        }
    }
    found
}

/// The anchors that a page's headings make.
#[must_use]
pub fn anchors(page: &str) -> Vec<String> {
    prose(page)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// What stands in backticks in a text.
#[must_use]
pub fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of a table row, or none when the line is no row or the line below a table's head.
#[must_use]
pub fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    (!cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')))).then_some(cells)
}

/// Lines outside fenced code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return false;
        }
        !fenced
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let page = "see [a](x.md), [b](y.md#z)\n```\n[no](no.md)\n```\nand `[no](no.md)` [c](<u>)";
        assert_eq!(links(page), ["x.md", "y.md#z", "<u>"]);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(anchors("# A job's life\n```\n# no\n```\n## Who, what"), ["a-jobs-life", "who-what"]);
    }

    #[test]
    fn rows_have_cells() {
        assert_eq!(cells("| a | `b` |"), Some(vec!["a", "`b`"]));
        assert_eq!(cells("|---|:-:|"), None);
        assert_eq!(cells("text"), None);
    }
}
