//! Payloads as people may see them: marked fields read `••••`, the shape stays.
//!
//! Keys are always shown, so a key must never be a secret. A payload of an unknown kind or version shows
//! its keys only.

use serde_json::Value;
use url::{Origin, Url};

use crate::Registry;
use crate::marks::{KEYWORD, Mark};

/// What stands for a hidden value.
pub const MASK: &str = "••••";

impl Registry {
    /// `payload` without what its kind marks as hidden.
    ///
    /// Marked values become [`MASK`], leaf by leaf; of a marked URL the origin stays. A payload of an
    /// older version is judged by the newest schema, and fields that schema does not know are hidden, so
    /// a field that was ever marked keeps its mark or gets a new name.
    #[must_use]
    pub fn redact(&self, kind: &str, version: i16, payload: &Value) -> Value {
        let mut shown = payload.clone();
        match self.entry(kind).filter(|entry| entry.takes(version)) {
            None => hide(&mut shown),
            Some(entry) => {
                for (pointer, mark) in entry.schema.hidden(payload) {
                    match (shown.pointer_mut(&pointer), mark) {
                        (Some(value), Mark::All) => hide(value),
                        (Some(value), Mark::AfterOrigin) => hide_after_origin(value),
                        (None, _) => {}
                    }
                }
            }
        }
        shown
    }
}

/// Masks every leaf; nothing is there to hide in null.
fn hide(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        leaf => *leaf = Value::String(MASK.to_owned()),
    }
}

/// Keeps scheme, host and port of a URL; paths and queries of webhook receivers are often secret.
fn hide_after_origin(value: &mut Value) {
    let url = value.as_str().and_then(|text| Url::parse(text).ok());
    match url.map(|url| (url.origin(), url)) {
        Some((origin @ Origin::Tuple(..), url)) => {
            let mut shown = origin.ascii_serialization();
            let bare = url.path().len() <= 1
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            if !bare {
                shown.push('/');
                shown.push_str(MASK);
            }
            *value = Value::String(shown);
        }
        _ => hide(value),
    }
}

/// Refuses marks that would be misread.
///
/// # Errors
/// What the mark must say.
pub(crate) fn check_marks(schema: &Value) -> Result<(), String> {
    match schema {
        Value::Object(node) => {
            // Below `properties` the word is a field's name, not a mark.
            if let Some(mark) = node.get(KEYWORD).filter(|mark| !mark.is_object()) {
                Mark::parse(mark)?;
            }
            node.values().try_for_each(check_marks)
        }
        Value::Array(items) => items.iter().try_for_each(check_marks),
        _ => Ok(()),
    }
}
