//! The JSON Schema of a payload (draft 2020-12), its compiled validator, and the field errors of a
//! payload that does not fit.
//!
//! Refuses to fetch anything: schemas refer to themselves only. No message holds a payload's value.

use jsonschema::{Draft, PatternOptions, Validator};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::field_errors;
use crate::marks::{Mark, Marks};
use crate::redact::{self, MASK};

/// At most this many field errors are told at once.
pub const MAX_FIELD_ERRORS: usize = 20;

/// What is wrong with one field of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the payload, such as `/url`; empty for the payload as a whole.
    pub pointer: String,
    /// What is wrong and what is allowed; reads on after the pointer. Never the value itself.
    pub message: String,
}

impl FieldError {
    pub(crate) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// Why a payload that fits its schema still does not decode. Says where, never what.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// JSON pointer to the value that did not decode.
    pub(crate) pointer: String,
}

/// A payload's schema, ready to use.
pub(crate) struct PayloadSchema {
    json: Value,
    validator: Validator,
}

impl PayloadSchema {
    /// The schema of `T`, compiled.
    ///
    /// # Errors
    /// What the compiler or the marks object to, as text.
    pub(crate) fn of<T: JsonSchema>() -> Result<Self, String> {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
        let json = schema.to_value();
        redact::check_marks(&json)?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            // Linear time: payloads come from strangers.
            .with_pattern_options(PatternOptions::regex())
            .offline()
            .build(&json)
            .map_err(|error| error.to_string())?;
        Ok(Self { json, validator })
    }

    /// The schema as JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// Everything that is wrong with `payload`; empty when it fits.
    pub(crate) fn check(&self, payload: &Value) -> Vec<FieldError> {
        if self.validator.is_valid(payload) {
            return Vec::new();
        }
        let mut errors = Vec::new();
        for error in self.validator.iter_errors(payload) {
            field_errors::explain(&self.json, &error, &mut errors);
        }
        let mut told: Vec<FieldError> = Vec::new();
        let hidden = self.hidden(payload);
        for error in errors {
            let error = conceal(error, &hidden);
            if !told.contains(&error) {
                told.push(error);
            }
            if told.len() == MAX_FIELD_ERRORS {
                break;
            }
        }
        if told.is_empty() {
            told.push(FieldError::new("", "does not fit the kind's schema; GET /v1/kinds shows it"));
        }
        told
    }

    /// Marked fields that hold what redaction put there: somebody sent back what they were shown.
    pub(crate) fn still_masked(&self, payload: &Value) -> Vec<FieldError> {
        self.hidden(payload)
            .into_iter()
            .filter(|(pointer, _)| {
                payload.pointer(pointer).is_some_and(|value| value.to_string().contains(MASK))
            })
            .map(|(pointer, _)| {
                FieldError::new(
                    pointer,
                    format!("still holds {MASK}, which stands for a hidden value; write the real value"),
                )
            })
            .take(MAX_FIELD_ERRORS)
            .collect()
    }

    /// A field error for a payload that fits the schema and still does not decode.
    pub(crate) fn explain_misfit(&self, misfit: &Misfit) -> FieldError {
        FieldError::new(
            &*misfit.pointer,
            "can't be read by this kind: write whole numbers without fraction or exponent and within \
             64 bits, and each field once",
        )
    }

    /// Where `payload` holds what must not be shown.
    pub(crate) fn hidden(&self, payload: &Value) -> Vec<(String, Mark)> {
        Marks::new(&self.json).find(payload)
    }
}

/// Cuts a pointer that leads into hidden content: the keys in there may tell too much.
fn conceal(error: FieldError, hidden: &[(String, Mark)]) -> FieldError {
    let inside = hidden.iter().find(|(pointer, _)| {
        error.pointer.strip_prefix(pointer.as_str()).is_some_and(|rest| rest.starts_with('/'))
    });
    match inside {
        Some((pointer, _)) => {
            FieldError::new(pointer.clone(), "does not fit the schema inside; its content is hidden")
        }
        None => error,
    }
}
