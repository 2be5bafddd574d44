//! From a payload to a [`NewJob`]: by name, for requests ([`Registry::prepare`]), and by type, for code
//! ([`new_job`]).
//!
//! Refuses what could only fail later: unknown kinds and versions, payloads that do not fit. Keys, times
//! and sizes of everything else are [`NewJob::check`]'s business.

use domain::{MAX_PAYLOAD_BYTES, OrgId};
use queue::NewJob;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::redact::MASK;
use crate::schema::FieldError;
use crate::{Job, Registry};

/// Why no job can be made of a payload.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No such kind.
    #[error("there is no job kind “{kind}”{}", did_you_mean(near))]
    UnknownKind {
        /// What was asked for, cut to 100 characters.
        kind: String,
        /// Kinds with a similar name, the likeliest first.
        near: Vec<&'static str>,
    },
    /// The kind is known, and no caller may ask for it.
    #[error("{kind} is not for asking: such jobs are made by the routes that need them")]
    NotOnRequest {
        /// The kind.
        kind: &'static str,
    },
    /// The kind is known, this payload version is not.
    #[error(
        "{kind} takes payload versions {oldest} to {newest}, not {version}; leave the version out for the newest"
    )]
    UnknownVersion {
        /// The kind.
        kind: &'static str,
        /// What was asked for.
        version: i16,
        /// Oldest version it takes.
        oldest: i16,
        /// Newest version it takes.
        newest: i16,
    },
    /// The payload does not fit the kind's schema.
    #[error("the payload does not fit {kind}@{version}; see the errors of its fields")]
    Invalid {
        /// The kind.
        kind: &'static str,
        /// The version it was checked against.
        version: i16,
        /// What is wrong, field by field; at most [`crate::MAX_FIELD_ERRORS`], never empty.
        errors: Vec<FieldError>,
    },
    /// The payload is larger than the ledger takes; it was not looked at.
    #[error(
        "the payload has {bytes} bytes; at most {limit} are allowed: store the data elsewhere and send a reference"
    )]
    TooLarge {
        /// Size of the payload's JSON text.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A payload in code that can't be written as JSON.
    #[error("the payload of {kind} can't be written as JSON")]
    Unwritable {
        /// The kind.
        kind: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

fn did_you_mean(near: &[&'static str]) -> String {
    if near.is_empty() {
        "; GET /v1/kinds lists them all".to_owned()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

/// A job of kind `J` with this payload: newest version, the kind's lane, attempts and derived key.
///
/// The payload's type is trusted; its schema (lengths, ranges) is not looked at.
///
/// # Errors
/// [`PrepareError::Unwritable`] for a payload without a JSON form, such as a map with keys that are no
/// text.
pub fn new_job<J: Job>(org: OrgId, payload: &J) -> Result<NewJob, PrepareError> {
    let text = to_raw_value(payload).map_err(|source| PrepareError::Unwritable { kind: J::KIND, source })?;
    let mut job = NewJob::new(org, J::KIND, J::LANE, text);
    job.kind_version = J::VERSION;
    job.max_attempts = J::RETRY.max_attempts;
    job.idempotency_key = payload.derived_key();
    Ok(job)
}

impl Registry {
    /// [`Registry::prepare`] for a caller who named the kind or wrote the payload.
    ///
    /// # Errors
    /// As there, and [`PrepareError::NotOnRequest`].
    pub fn prepare_asked(
        &self,
        org: OrgId,
        kind: &str,
        version: Option<i16>,
        payload: Box<RawValue>,
    ) -> Result<NewJob, PrepareError> {
        match self.entry(kind) {
            Some(entry) if !entry.on_request => Err(PrepareError::NotOnRequest { kind: entry.newest.kind }),
            _ => self.prepare(org, kind, version, payload),
        }
    }

    /// A job of the kind named `kind` with this payload, checked; `version` none means the newest.
    ///
    /// The payload's text is kept as it came. A payload of an older version is upgraded here and is
    /// checked, and stored, as the newest. Lane, attempts and the derived key come from the kind.
    ///
    /// # Errors
    /// Whatever is wrong with kind, version or payload; for the payload all fields at once.
    pub fn prepare(
        &self,
        org: OrgId,
        kind: &str,
        version: Option<i16>,
        payload: Box<RawValue>,
    ) -> Result<NewJob, PrepareError> {
        let Some(entry) = self.entry(kind) else {
            return Err(PrepareError::UnknownKind {
                kind: kind.chars().take(100).collect(),
                near: self.near(kind),
            });
        };
        let policy = &entry.newest;
        let version = version.unwrap_or(policy.version);
        if !entry.takes(version) {
            return Err(PrepareError::UnknownVersion {
                kind: policy.kind,
                version,
                oldest: entry.since(),
                newest: policy.version,
            });
        }
        let bytes = payload.get().len();
        if bytes > MAX_PAYLOAD_BYTES {
            return Err(PrepareError::TooLarge { bytes, limit: MAX_PAYLOAD_BYTES });
        }
        let invalid = |errors| PrepareError::Invalid { kind: policy.kind, version, errors };
        let mut value: Value =
            serde_json::from_str(payload.get()).map_err(|error| invalid(vec![unreadable(&error)]))?;
        let mut payload = payload;
        if version != policy.version {
            value = (entry.upgrade)(version, value).ok_or_else(|| {
                invalid(vec![FieldError::new(
                    "",
                    format!(
                        "is no version {version} payload that can be brought to version {}; send version {}",
                        policy.version, policy.version
                    ),
                )])
            })?;
            payload = to_raw_value(&value)
                .map_err(|source| PrepareError::Unwritable { kind: policy.kind, source })?;
        }
        // First, because a mask rarely fits the schema and “still hidden” is what helps.
        let mut errors = Vec::new();
        if payload.get().contains(MASK) || payload.get().contains("\\u2022") {
            errors = entry.schema.still_masked(&value);
        }
        if errors.is_empty() {
            errors = entry.schema.check(&value);
        }
        if !errors.is_empty() {
            return Err(invalid(errors));
        }
        let key = (entry.fits)(payload.get())
            .map_err(|misfit| invalid(vec![entry.schema.explain_misfit(&misfit)]))?;
        let mut job = NewJob::new(org, entry.kind.clone(), entry.lane.clone(), payload);
        job.kind_version = policy.version;
        job.max_attempts = policy.retry.max_attempts;
        job.idempotency_key = key;
        Ok(job)
    }
}

/// Text that passed as JSON from afar but can't be taken apart: too deep, a number without a value, half
/// a character. The library's words name a place and a cause, and nothing of the text.
fn unreadable(error: &serde_json::Error) -> FieldError {
    FieldError::new("", format!("can't be read as JSON: {error}"))
}
