//! `docs/requirements.md`: every requirement is there once, with a status, and what it points at exists.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use docs_check::references::Things;
use docs_check::{markdown, root};

/// Letter and number of requirements. An id never changes; new ones are added at the end of their letter.
const IDS: &[(char, u32)] =
    &[('Q', 18), ('B', 7), ('M', 7), ('A', 4), ('O', 7), ('G', 10), ('V', 4), ('W', 4), ('D', 6), ('P', 8)];

const STATUSES: &[&str] = &["done", "partial", "planned"];

struct Line {
    id: String,
    status: String,
    carried_by: Vec<String>,
    missing: String,
}

fn lines() -> Vec<Line> {
    let page = std::fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    page.lines()
        .filter_map(markdown::cells)
        .filter(|cells| cells.len() == 5 && is_id(cells[0]))
        .map(|cells| Line {
            id: cells[0].to_owned(),
            status: cells[2].to_owned(),
            carried_by: markdown::code(cells[3]).into_iter().map(str::to_owned).collect(),
            missing: cells[4].to_owned(),
        })
        .collect()
}

fn is_id(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase())
        && !letters.as_str().is_empty()
        && letters.all(|c| c.is_ascii_digit())
}

#[test]
fn every_requirement_is_there_once() {
    let wanted: Vec<String> =
        IDS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}"))).collect();
    let found: Vec<String> = lines().into_iter().map(|line| line.id).collect();
    let once: BTreeSet<&String> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "an id is there twice");
    let missing: Vec<_> = wanted.iter().filter(|id| !once.contains(id)).collect();
    assert!(missing.is_empty(), "docs/requirements.md lacks {missing:?}");
    assert_eq!(found, wanted, "ids are in order and none is made up");
}

#[test]
fn statuses_are_honest() {
    for line in lines() {
        assert!(STATUSES.contains(&line.status.as_str()), "{}: “{}” is no status", line.id, line.status);
        let tested = line.carried_by.iter().any(|reference| reference.starts_with("test:"));
        match line.status.as_str() {
            "done" => {
                assert!(tested, "{} is called done and names no test", line.id);
                assert!(line.missing.is_empty(), "{} is called done and lacks “{}”", line.id, line.missing);
            }
            "partial" => {
                assert!(!line.carried_by.is_empty(), "{} is called partial and names nothing", line.id);
                assert!(
                    !line.missing.is_empty(),
                    "{} is called partial and does not say what lacks",
                    line.id
                );
            }
            _ => {}
        }
    }
}

#[test]
fn what_they_point_at_is_there() {
    let things = Things::read(&root());
    let wrong: Vec<String> = lines()
        .iter()
        .flat_map(|line| line.carried_by.iter().map(move |reference| (&line.id, reference)))
        .filter_map(|(id, reference)| things.check(reference).err().map(|problem| format!("{id}: {problem}")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_reference_to_nothing_is_found() {
    let things = Things::read(&root());
    for nothing in [
        "route:GET /v1/nothing",
        "table:nothing",
        "kind:system.nothing",
        "metric:countersign_nothing",
        "test:docs/check/nothing.rs",
        "test:docs/check/tests/requirements.rs#no_such_test",
        "test:docs/check/lib.rs",
        "file:nothing",
        "sorry",
        "colour:blue",
    ] {
        assert!(things.check(nothing).is_err(), "{nothing} was accepted");
    }
    for there in [
        "table:job",
        "kind:system.echo",
        "metric:countersign_queue_depth",
        "file:docs",
        "test:docs/check/tests/requirements.rs#a_reference_to_nothing_is_found",
    ] {
        assert_eq!(things.check(there), Ok(()));
    }
}
