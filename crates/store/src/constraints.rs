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
        "invitation_email_shape" => invalid("email", "must be one mail address such as ann@example.com"),
        "invitation_locale_known" => invalid("locale", "must be one of en, es, ne, ar"),
        "member_account_once" => {
            Some(StoreError::Conflict("this person belongs to the organisation already"))
        }
        "invitation_open_once" => Some(StoreError::Conflict(
            "this address has an open invitation; send that one again, or withdraw it first",
        )),
        "api_token_scopes_some" => invalid("scopes", "must name at least one scope"),
        "rate_limit_units_range" => invalid("units", "must lie between 1 and 10,000,000"),
        "rate_limit_period_range" => invalid("period_ms", "must lie between 1 ms and 31 days"),
        "rate_limit_burst_range" => invalid("burst", "must lie between 1 and 10,000,000"),
        "lane_org_cap_range" => invalid("org_cap", "must lie between 1 and 100,000"),
        "approval_rule_subject_shape" | "approval_subject_kind_shape" => {
            invalid("subject_kind", "must read job:<kind>, job_replay or a noun: a-z, 0-9 and _ . :")
        }
        "approval_rule_roles_decide" => invalid("roles", "must name some of owner, manager and finance"),
        "approval_rule_needed_range" => invalid("needed", "must lie between 1 and 10"),
        "approval_rule_expiry_range" => invalid("expires_after_s", "must lie between 60 and 2,592,000"),
        "approval_rule_threshold_whole" | "approval_amount_whole" => {
            invalid("currency", "must be given with the amount, and only with it")
        }
        "approval_rule_threshold_range" => invalid("step_up_above_minor", "must not be negative"),
        "approval_amount_range" => invalid("amount_minor", "must not be negative"),
        "approval_rule_currency_shape" | "approval_currency_shape" => {
            invalid("currency", "must be three capital letters, such as EUR")
        }
        "approval_summary_length" => invalid("summary", "must have 1 to 500 characters"),
        "approval_decision_comment_length" => invalid("comment", "must have 1 to 2000 characters"),
        "approval_decision_reason" => invalid("comment", "must say why it is rejected"),
        "approval_one_pending" => Some(StoreError::Conflict(
            "this waits for a decision already; decide, edit or withdraw that approval",
        )),
        "schedule_name_unique" => {
            Some(StoreError::Conflict("this name belongs to another schedule; choose another"))
        }
        "account_email_unique" => {
            Some(StoreError::Conflict("this address has an account already; sign in with it"))
        }
        "account_email_shape" => invalid("email", "must be an e-mail address of at most 254 characters"),
        "account_name_length" => invalid("name", NAME),
        "account_locale_known" => invalid("locale", "must be en, es, ne or ar"),
        "secret_name_unique" => Some(StoreError::Conflict(
            "this name belongs to another secret; replace its value, or choose another",
        )),
        "secret_name_shape" => {
            invalid("name", "must have 1 to 100 characters: a-z, 0-9 and inner dots, hyphens and underscores")
        }
        "secret_kind_shape" => {
            invalid("kind", "must have 1 to 40 characters: a-z, 0-9 and underscores, a letter first")
        }
        "secret_owner_system_length" => invalid("owner_system", "must have 1 to 100 characters"),
        "secret_room" | "hook_endpoint_room" => {
            invalid("workspace_id", "must be a workspace of your organisation")
        }
        "hook_endpoint_name_unique" => {
            Some(StoreError::Conflict("this name belongs to another endpoint; choose another"))
        }
        "hook_endpoint_name_length" => invalid("name", "must have 1 to 100 characters"),
        "hook_endpoint_tolerance_range" => invalid("tolerance_s", "must lie between 30 and 3600"),
        "hook_endpoint_forward_length" => invalid("forward_url", "must have at most 2048 characters"),
        _ => None,
    }
}
