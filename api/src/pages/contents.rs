//! What the reference holds and in which order: the tags as the document names them, in each the
//! routes as the document lists them, and on one path first what makes a thing.
//!
//! It knows no route by name: the order is the document's.

use std::fmt::Write;

use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::html::escape;
use super::reference;

/// On one path, making comes before looking.
const METHODS: [&str; 5] = ["post", "get", "put", "patch", "delete"];

/// The routes of one tag.
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    /// Id of its heading.
    pub(super) anchor: String,
    pub(super) description: &'a str,
    pub(super) operations: Vec<Operation<'a>>,
}

/// A method on a path.
pub(super) struct Operation<'a> {
    /// In lower case.
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Its object in the document.
    pub(super) node: &'a Value,
}

/// The sections of `document`, which is `openapi` as JSON. Paths come from `openapi`, because
/// JSON objects in memory are sorted by name.
pub(super) fn sections<'a>(openapi: &'a OpenApi, document: &'a Value) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = reference::list(document, "/tags")
        .iter()
        .map(|tag| {
            let name = tag["name"].as_str().unwrap_or_default();
            let description = tag["description"].as_str().unwrap_or_default();
            Section { name, anchor: name.replace(' ', "-"), description, operations: Vec::new() }
        })
        .collect();
    for path in openapi.paths.paths.keys() {
        for method in METHODS {
            let Some(node) = document["paths"][path.as_str()].get(method) else { continue };
            let tag = node.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            if let Some(section) = sections.iter_mut().find(|section| section.name == tag) {
                section.operations.push(Operation { method, path, node });
            }
        }
    }
    sections
}

/// The contents list: a line for each section, a link for each route.
pub(super) fn list(sections: &[Section<'_>]) -> String {
    let mut out = String::from("<nav aria-label=\"Contents\"><h2 id=\"contents\">Contents</h2><dl>");
    for Section { name, anchor, operations, .. } in sections {
        let _ = write!(out, "<dt><a href=\"#{anchor}\">{}</a></dt><dd>", escape(name));
        for (position, operation) in operations.iter().enumerate() {
            let text = |key: &str| escape(operation.node[key].as_str().unwrap_or_default());
            let dot = if position == 0 { "" } else { " · " };
            let _ = write!(
                out,
                "{dot}<a href=\"#{}\" title=\"{} {}\">{}</a>",
                text("operationId"),
                operation.method.to_uppercase(),
                escape(operation.path),
                text("summary"),
            );
        }
        out.push_str("</dd>");
    }
    out.push_str(
        "<dt><a href=\"#schemas\">schemas</a></dt><dd>What bodies and answers hold</dd>\
         <dt><a href=\"/docs/errors\">errors</a></dt><dd>What each code means and what to do</dd></dl></nav>",
    );
    out
}
