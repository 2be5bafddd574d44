//! Every link inside the project leads somewhere.

#![allow(clippy::unwrap_used)]

use docs_check::{files, markdown, root};

#[test]
fn links_resolve() {
    let root = root();
    let mut pages = files(&root.join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)));
    let mut broken = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        let name = page.strip_prefix(&root).unwrap().display().to_string();
        for link in markdown::links(&text) {
            // Other sites are not asked; routes are answered by the API, not by a file.
            if link.contains("://") || link.starts_with("mailto:") || link.starts_with('/') {
                continue;
            }
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(a, b)| (a, Some(b)));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            if !target.exists() {
                broken.push(format!("{name}: {link}"));
            } else if let Some(anchor) = anchor
                && target.extension().is_some_and(|extension| extension == "md")
                && !markdown::anchors(&std::fs::read_to_string(&target).unwrap())
                    .iter()
                    .any(|found| found == anchor)
            {
                broken.push(format!("{name}: {link} (no such heading)"));
            }
        }
    }
    assert!(pages.len() > 20, "the pages were found");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_decision_and_runbook_is_listed() {
    let root = root();
    for folder in ["docs/decisions", "docs/runbooks"] {
        let index = std::fs::read_to_string(root.join(folder).join("README.md")).unwrap();
        for page in files(&root.join(folder), "md") {
            let name = page.file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                name == "README.md" || index.contains(&format!("({name})")),
                "{folder}/README.md lacks {name}"
            );
        }
    }
}
