//! Settings: every one that the programs read is explained, and none is explained that nobody reads.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use docs_check::{files, root};

/// Names like `COUNTERSIGN_LISTEN` in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| {
            word.starts_with("COUNTERSIGN_") && word.len() > "COUNTERSIGN_".len() && !word.ends_with('_')
        })
        .map(str::to_owned)
        .collect()
}

fn names_in(paths: &[impl AsRef<Path>]) -> BTreeSet<String> {
    paths.iter().flat_map(|path| names(&std::fs::read_to_string(path).unwrap_or_default())).collect()
}

#[test]
fn every_setting_of_the_processes_is_explained() {
    let root = root();
    let page = names_in(&[root.join("docs/how-to/run-in-production.md")]);
    // For development and tests, not for production.
    let elsewhere =
        ["COUNTERSIGN_DEV_SECONDS", "COUNTERSIGN_TEST_DATABASE_URL", "COUNTERSIGN_TEST_REDIS_URL"];
    let read = names_in(&[root.join("cli/src/config.rs"), root.join("api/src/config.rs")]);
    assert!(!read.is_empty(), "the settings were found");
    let missing: Vec<_> =
        read.iter().filter(|name| !page.contains(*name) && !elsewhere.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "docs/how-to/run-in-production.md does not explain {missing:?}");
}

#[test]
fn no_page_explains_a_setting_that_nobody_reads() {
    let root = root();
    let mut sources = files(&root, "rs");
    for extension in ["yml", "sh"] {
        sources.extend(files(&root, extension));
    }
    sources.extend(["Makefile", "Dockerfile"].map(|name| root.join(name)));
    sources.retain(|path| !path.starts_with(root.join("docs")));
    let known = names_in(&sources);
    let mut pages = files(&root.join("docs"), "md");
    pages.push(root.join("README.md"));
    let invented: Vec<_> = names_in(&pages).into_iter().filter(|name| !known.contains(name)).collect();
    assert!(invented.is_empty(), "nobody reads {invented:?}");
}
