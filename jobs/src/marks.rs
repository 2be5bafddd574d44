//! Finds the parts of a payload that must not be shown, by walking payload and schema together.
//!
//! Refuses to guess: a value counts as showable only where the schema describes it. What no schema
//! describes is hidden, and so is a value that takes several forms when any of them is marked.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Keyword that marks a field.
pub(crate) const KEYWORD: &str = "x-redact";

/// How a value is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// A URL: its origin stays visible.
    AfterOrigin,
    /// All of it.
    All,
}

impl Mark {
    /// The mark that a value of [`KEYWORD`] stands for.
    ///
    /// # Errors
    /// The words a schema must not use.
    pub(crate) fn parse(value: &Value) -> Result<Option<Self>, String> {
        match value {
            Value::Bool(false) => Ok(None),
            Value::Bool(true) => Ok(Some(Self::All)),
            Value::String(text) if text == "url" => Ok(Some(Self::AfterOrigin)),
            other => Err(format!("{KEYWORD} must be true or \"url\", not {other}")),
        }
    }
}

/// Keywords whose schemas apply to the value itself.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SINGLES: [&str; 3] = ["if", "then", "else"];
static ANYTHING: Value = Value::Bool(true);

/// Walks payloads along one schema.
pub(crate) struct Marks<'s> {
    root: &'s Value,
}

/// Every schema that applies to one value.
struct Level<'s> {
    nodes: Vec<&'s Map<String, Value>>,
    anything: bool,
    mark: Option<Mark>,
}

impl<'s> Marks<'s> {
    pub(crate) fn new(root: &'s Value) -> Self {
        Self { root }
    }

    /// JSON pointers to the outermost values that must be hidden, and how.
    pub(crate) fn find(&self, payload: &Value) -> Vec<(String, Mark)> {
        let mut found = Vec::new();
        self.walk(payload, &[self.root], String::new(), &mut found);
        found
    }

    fn walk(&self, value: &Value, schemas: &[&'s Value], pointer: String, found: &mut Vec<(String, Mark)>) {
        let level = self.level(schemas);
        if let Some(mark) = level.mark {
            found.push((pointer, mark));
            return;
        }
        match value {
            Value::Object(fields) => {
                for (key, inner) in fields {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let next = format!("{pointer}/{escaped}");
                    self.walk(inner, &level.field(key), next, found);
                }
            }
            Value::Array(items) => {
                for (index, inner) in items.iter().enumerate() {
                    self.walk(inner, &level.item(index), format!("{pointer}/{index}"), found);
                }
            }
            leaf if level.describes(leaf) => {}
            _ => found.push((pointer, Mark::All)),
        }
    }

    /// Follows references and combinations until every schema for the same value is in hand.
    fn level(&self, schemas: &[&'s Value]) -> Level<'s> {
        let mut level = Level { nodes: Vec::new(), anything: false, mark: None };
        let mut open: Vec<&'s Value> = schemas.to_vec();
        let mut followed = HashSet::new();
        while let Some(schema) = open.pop() {
            let Value::Object(node) = schema else {
                level.anything |= schema == &ANYTHING;
                continue;
            };
            level.nodes.push(node);
            if let Some(mark) = node.get(KEYWORD) {
                // A mark that can't be read hides all; the registry refuses it anyway.
                level.mark = level.mark.max(Mark::parse(mark).unwrap_or(Some(Mark::All)));
            }
            if let Some(reference) = node.get("$ref") {
                match reference.as_str().and_then(|text| self.resolve(text)) {
                    Some((name, target)) => {
                        if followed.insert(name) {
                            open.push(target);
                        }
                    }
                    None => level.mark = Some(Mark::All),
                }
            }
            for keyword in LISTS {
                open.extend(node.get(keyword).and_then(Value::as_array).into_iter().flatten());
            }
            open.extend(SINGLES.iter().filter_map(|keyword| node.get(*keyword)));
        }
        level
    }

    fn resolve(&self, reference: &'s str) -> Option<(&'s str, &'s Value)> {
        let pointer = reference.strip_prefix('#')?;
        Some((pointer, self.root.pointer(pointer)?))
    }
}

impl<'s> Level<'s> {
    /// The schemas for the field `key`; none when nothing describes it.
    fn field(&self, key: &str) -> Vec<&'s Value> {
        let mut schemas = Vec::new();
        for node in &self.nodes {
            if let Some(schema) = node.get("properties").and_then(|known| known.get(key)) {
                schemas.push(schema);
                continue;
            }
            let patterns = node.get("patternProperties").and_then(Value::as_object);
            schemas.extend(patterns.into_iter().flat_map(Map::values));
            for keyword in ["additionalProperties", "unevaluatedProperties"] {
                schemas.extend(node.get(keyword));
            }
            if !node.contains_key("properties")
                && !node.contains_key("additionalProperties")
                && !node.contains_key("unevaluatedProperties")
                && plain(node)
                && allows(node, "object")
            {
                schemas.push(&ANYTHING);
            }
        }
        if self.anything {
            schemas.push(&ANYTHING);
        }
        schemas
    }

    /// The schemas for the item at `index`.
    fn item(&self, index: usize) -> Vec<&'s Value> {
        let mut schemas = Vec::new();
        for node in &self.nodes {
            let positional = node.get("prefixItems").and_then(|items| items.get(index));
            match positional.or_else(|| node.get("items")) {
                Some(schema) => schemas.push(schema),
                None if !node.contains_key("prefixItems") && plain(node) && allows(node, "array") => {
                    schemas.push(&ANYTHING);
                }
                None => {}
            }
        }
        if self.anything {
            schemas.push(&ANYTHING);
        }
        schemas
    }

    /// Whether some schema expects a value of this type here.
    fn describes(&self, leaf: &Value) -> bool {
        let name = match leaf {
            Value::Null => return true,
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) | Value::Object(_) => return false,
        };
        self.anything
            || self.nodes.iter().any(|node| (plain(node) || node.contains_key("type")) && allows(node, name))
    }
}

/// Whether a schema stands for itself, not for others it refers to.
fn plain(node: &Map<String, Value>) -> bool {
    !node.contains_key("$ref") && !LISTS.iter().any(|keyword| node.contains_key(*keyword))
}

/// Whether a schema lets through values of a type. One that names no type lets through all, unless it
/// describes an object or an array.
fn allows(node: &Map<String, Value>, name: &str) -> bool {
    let is = |wanted: &Value| wanted == name || (name == "number" && wanted == "integer");
    match node.get("type") {
        Some(Value::Array(several)) => several.iter().any(is),
        Some(one) => is(one),
        None => match name {
            "object" => !node.contains_key("items"),
            "array" => !node.contains_key("properties"),
            _ => !node.contains_key("properties") && !node.contains_key("items"),
        },
    }
}
