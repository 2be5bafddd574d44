//! Which dead letters are meant.

use chrono::{DateTime, Utc};
use queue::ops;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Narrows the dead letters; an empty filter means all of the organisation's.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLetterFilter {
    /// Exactly this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    /// Exactly this error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<String>,
    /// Exactly this lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lane: Option<String>,
    /// Died at or after this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<DateTime<Utc>>,
    /// Died before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<DateTime<Utc>>,
}

impl DeadLetterFilter {
    pub(super) fn checked(self) -> Result<ops::dead::DeadFilter, Problem> {
        for (name, text) in [("kind", &self.kind), ("error_code", &self.error_code), ("lane", &self.lane)] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(Problem::field(format!("/filter/{name}"), "must not contain U+0000"));
            }
        }
        let Self { kind, error_code, lane, from, until } = self;
        Ok(ops::dead::DeadFilter { kind, error_code, lane, from, until })
    }
}
