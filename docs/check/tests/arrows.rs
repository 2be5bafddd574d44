//! Who may import whom (`docs/ARCHITECTURE.md`), and that the API can't see a provider (Q1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use docs_check::crates::{Crates, tree};
use docs_check::root;

/// What each crate may import of ours, in what is shipped. A new crate gets a line here and in the table of
/// `docs/ARCHITECTURE.md`.
const MAY: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("domain", &[]),
    ("embedded", &[]),
    ("docs-check", &[]),
    ("sandbox", &["domain"]),
    ("vault", &["domain"]),
    ("store", &["domain", "telemetry"]),
    ("providers", &["domain", "telemetry"]),
    ("queue", &["domain", "telemetry"]),
    ("jobs", &["domain", "telemetry", "store", "queue"]),
    ("schedules", &["domain", "telemetry", "vault", "store", "queue", "jobs"]),
    ("api", &["domain", "telemetry", "vault", "store", "queue", "jobs", "schedules"]),
    (
        "workers",
        &[
            "domain",
            "telemetry",
            "vault",
            "store",
            "queue",
            "jobs",
            "schedules",
            "api",
            "providers",
            "embedded",
        ],
    ),
    ("bench", SHIPPED),
    ("countersign", SHIPPED),
    ("testkit", SHIPPED),
];

const SHIPPED: &[&str] = &[
    "domain",
    "telemetry",
    "vault",
    "store",
    "queue",
    "jobs",
    "schedules",
    "api",
    "providers",
    "embedded",
    "workers",
    "sandbox",
    "bench",
];

#[test]
fn crates_import_only_what_they_may() {
    let crates = Crates::read(&root()).unwrap();
    let mut wrong = Vec::new();
    for (name, imports) in &crates.shipped {
        let Some((_, may)) = MAY.iter().find(|(known, _)| known == name) else {
            wrong.push(format!(
                "{name} is new: say in docs/check/tests/arrows.rs and docs/ARCHITECTURE.md what it may import"
            ));
            continue;
        };
        for import in imports.iter().filter(|import| !may.contains(&import.as_str())) {
            wrong.push(format!("{name} imports {import}; it may import {may:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_testkit_is_for_tests_only() {
    let crates = Crates::read(&root()).unwrap();
    for (name, imports) in &crates.shipped {
        assert!(!imports.contains("testkit"), "{name} ships the testkit");
    }
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = page.split("## Who may import whom").nth(1).expect("the page has that heading");
    let table = table.split("\n## ").next().unwrap();
    for name in Crates::read(&root()).unwrap().shipped.keys() {
        let name = if name == "countersign" { "cli" } else { name };
        assert!(
            table.contains(&format!("`{name}`")),
            "docs/ARCHITECTURE.md does not say what {name} may import"
        );
    }
}

#[test]
fn the_api_cannot_see_a_provider() {
    let reach = Crates::read(&root()).unwrap().reach("api");
    assert!(!reach.is_empty(), "cargo knows the api crate");
    for outside in ["providers", "workers"] {
        assert!(!reach.contains(outside), "the API reaches {outside}: {reach:?}");
    }
}

/// Clients of outside systems, ours or not: none may be linked into the API.
#[test]
fn no_client_of_an_outside_system_is_in_the_apis_tree() {
    let tree = tree(&root(), "api").unwrap();
    assert!(tree.contains("axum"), "cargo tree lists the API's dependencies");
    let clients: BTreeSet<&str> =
        ["reqwest", "hyper-rustls", "lettre", "async-openai", "object_store", "rdkafka", "libdav", "ureq"]
            .into();
    let found: Vec<_> = tree.iter().filter(|name| clients.contains(name.as_str())).collect();
    assert!(found.is_empty(), "the API links {found:?}");
}
