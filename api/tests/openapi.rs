//! The committed OpenAPI document is the one the routes generate. `UPDATE=1 cargo test -p api --test openapi`
//! writes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

#[test]
fn the_document_in_the_repository_is_the_generated_one() {
    let generated = api::openapi();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(COMMITTED, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi.json is stale: run UPDATE=1 cargo test -p api --test openapi"
    );
}

#[test]
fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(node: &Value, references: &mut Vec<String>) {
    match node {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            fields.values().for_each(|node| collect(node, references));
        }
        Value::Array(items) => items.iter().for_each(|node| collect(node, references)),
        _ => {}
    }
}

/// Routes below `/v1` that people and programs reach before they are known.
const DOORS: &[&str] = &["/v1/auth/", "/v1/hooks/"];

#[test]
fn every_operation_has_a_name_a_tag_a_scope_and_its_problems() {
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    let tags: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{place} has no name"));
            assert!(names.insert(name.to_owned()), "{name} is taken twice");
            assert!(tags.contains(&operation["tags"][0].as_str().unwrap()), "{place} has an unknown tag");
            assert!(operation["summary"].is_string(), "{place} has no summary");
            let scoped = operation["security"][0]["token"].is_array();
            let own = operation["security"][0]["session"].is_array();
            let door = DOORS.iter().any(|door| path.starts_with(door));
            assert!(
                scoped || own || door || !path.starts_with("/v1/"),
                "{place}: a scope belongs to every route below /v1"
            );
            if scoped || own {
                for status in ["401", "403", "429", "500", "503"] {
                    assert!(operation["responses"][status].is_object(), "{place} does not tell of {status}");
                }
            }
        }
    }
}
