//! The names of the tables' constraints, as errors a caller can act on. SQL error text goes no further.

use crate::StoreError;

const SLUG: &str = "must have 1 to 63 characters: a-z, 0-9 and inner hyphens";
const NAME: &str = "must have 1 to 200 characters";

/// The error a violated constraint stands for, when it is one a caller can cause.
pub(crate) fn explain(constraint: &str) -> Option<StoreError> {
    let invalid = |field, problem| Some(StoreError::Invalid { field, problem });
    match constraint {
        "org_slug_unique" => {
            Some(StoreError::Conflict("this slug belongs to another organisation; choose another"))
        }
        "org_slug_shape" => invalid("slug", SLUG),
        "org_name_length" => invalid("name", NAME),
        "workspace_slug_unique" => {
            Some(StoreError::Conflict("this slug belongs to another workspace; choose another"))
        }
        "workspace_slug_shape" => invalid("slug", SLUG),
        "actor_name_length" => invalid("name", NAME),
        "api_token_scopes_some" => invalid("scopes", "must name at least one scope"),
        "rate_limit_units_range" => invalid("units", "must lie between 1 and 10,000,000"),
        "rate_limit_period_range" => invalid("period_ms", "must lie between 1 ms and 31 days"),
        "rate_limit_burst_range" => invalid("burst", "must lie between 1 and 10,000,000"),
        "lane_org_cap_range" => invalid("org_cap", "must lie between 1 and 100,000"),
        "schedule_name_unique" => {
            Some(StoreError::Conflict("this name belongs to another schedule; choose another"))
        }
        _ => None,
    }
}
