//! Validation errors in words that a person can act on.
//!
//! Builds each message from the schema alone; the payload's values never enter one. A schema may carry
//! its own words for a pattern or format in `x-message`.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use crate::schema::FieldError;

/// Most options of an enumeration that a message lists.
const MAX_OPTIONS: usize = 12;

/// Appends what `error` means to `out`: one entry a field.
pub(crate) fn explain(schema: &Value, error: &ValidationError<'_>, out: &mut Vec<FieldError>) {
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            out.push(FieldError::new(child(at, name), "is required"));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = siblings(schema, error);
            for name in unexpected {
                out.push(FieldError::new(child(at, name), unknown_field(name, &known)));
            }
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            explain_forms(schema, error, context, out);
        }
        _ => out.push(FieldError::new(at, message(schema, error))),
    }
}

fn message(schema: &Value, error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind } => wrong_type(kind, JsonType::from(error.instance().as_ref())),
        Kind::Enum { options } => one_of(options.as_array().into_iter().flatten()),
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} fields"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} fields"),
        Kind::UniqueItems => "must not hold the same item twice".to_owned(),
        Kind::Pattern { pattern } => {
            own_words(schema, error).unwrap_or_else(|| format!("must match the pattern {pattern}"))
        }
        Kind::Format { format } => own_words(schema, error).unwrap_or_else(|| of_format(format)),
        Kind::OneOfMultipleValid { .. } => {
            "fits more than one of the allowed forms; leave out the fields of the others".to_owned()
        }
        Kind::FalseSchema => "is not allowed here".to_owned(),
        other => {
            format!("does not fit the kind's schema (its rule “{}”); GET /v1/kinds shows it", other.keyword())
        }
    }
}

/// A value may take several forms and fits none: talk about the form that was meant, if one can tell.
fn explain_forms(
    schema: &Value,
    error: &ValidationError<'_>,
    forms: &[Vec<ValidationError<'static>>],
    out: &mut Vec<FieldError>,
) {
    let at = error.instance_path().as_str();
    let meant: Vec<_> = forms.iter().filter(|form| !form.iter().any(|inner| rules_out(inner, at))).collect();
    if let [form] = meant.as_slice() {
        for inner in *form {
            explain(schema, inner, out);
        }
        return;
    }
    let tags: Vec<_> = forms.iter().flatten().filter_map(|inner| tag(inner, at)).collect();
    match tags.first() {
        Some((pointer, _)) if meant.is_empty() => {
            out.push(FieldError::new(pointer.clone(), one_of(tags.iter().flat_map(|(_, options)| options))));
        }
        _ => out.push(FieldError::new(at, "fits none of the allowed forms; GET /v1/kinds shows them")),
    }
}

/// Whether `inner` says that the value at `at` was never meant to have this form: it has another type or
/// another tag.
fn rules_out(inner: &ValidationError<'_>, at: &str) -> bool {
    matches!(inner.kind(), Kind::Type { .. }) && inner.instance_path().as_str() == at
        || tag(inner, at).is_some()
}

/// The tag that `inner` misses, when it is about a fixed value at `at` or right below.
fn tag(inner: &ValidationError<'_>, at: &str) -> Option<(String, Vec<Value>)> {
    let pointer = inner.instance_path().as_str();
    if pointer.strip_prefix(at)?.matches('/').count() > 1 {
        return None;
    }
    let options = match inner.kind() {
        Kind::Constant { expected_value } => vec![expected_value.as_ref().clone()],
        Kind::Enum { options } => options.as_array().cloned().unwrap_or_default(),
        _ => return None,
    };
    Some((pointer.to_owned(), options))
}

fn one_of<'a>(options: impl Iterator<Item = &'a Value>) -> String {
    let all: Vec<String> = options.map(Value::to_string).collect();
    let more = if all.len() > MAX_OPTIONS { ", …" } else { "" };
    let listed = all.get(..MAX_OPTIONS).unwrap_or(all.as_slice()).join(", ");
    format!("must be one of {listed}{more}")
}

fn unknown_field(name: &str, known: &[&str]) -> String {
    // The comparison is quadratic, and no field has such a name.
    let comparable = if name.len() > 100 { &[] } else { known };
    let near = comparable
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, known)| *distance <= 1 + known.chars().count() / 4)
        .min();
    match near {
        Some((_, known)) => format!("is not a field here; did you mean “{known}”?"),
        None if known.is_empty() => "is not a field here".to_owned(),
        None => format!("is not a field here; there are: {}", known.join(", ")),
    }
}

/// The fields that the schema knows where `error` found an unknown one.
fn siblings<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Vec<&'s str> {
    owner(schema, error)
        .and_then(|owner| owner.get("properties")?.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// The schema's own words for a rule.
fn own_words(schema: &Value, error: &ValidationError<'_>) -> Option<String> {
    Some(owner(schema, error)?.get("x-message")?.as_str()?.to_owned())
}

/// The part of the schema that holds the broken rule.
fn owner<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Option<&'s Value> {
    let (owner, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(owner)
}

fn of_format(format: &str) -> String {
    match format {
        "uri" => "must be a full URL such as https://example.com/path".to_owned(),
        "date-time" => "must be a date and time with its zone, such as 2026-01-31T09:00:00Z".to_owned(),
        "date" => "must be a date such as 2026-01-31".to_owned(),
        "uuid" => "must be a UUID such as 018f0000-0000-7000-8000-000000000000".to_owned(),
        "email" => "must be an email address".to_owned(),
        other => format!("must be written as {other}"),
    }
}

fn wrong_type(wanted: &TypeKind, found: JsonType) -> String {
    let mut wanted: Vec<JsonType> = match wanted {
        TypeKind::Single(one) => vec![*one],
        TypeKind::Multiple(several) => several.iter().collect(),
    };
    wanted.sort_by_key(|json| *json == JsonType::Null);
    let names: Vec<_> = wanted.iter().copied().map(article).collect();
    let names = names.join(" or ");
    if found == JsonType::Number && wanted.contains(&JsonType::Integer) {
        format!("must be {names}, without a fraction")
    } else {
        format!("must be {names}, not {}", article(found))
    }
}

fn article(json: JsonType) -> &'static str {
    match json {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
