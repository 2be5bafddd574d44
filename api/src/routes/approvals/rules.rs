//! `/v1/approvals/rules`: which work needs an approval, and whose.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Role;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::Tx;
use store::approvals::{self, DEFAULT_EXPIRY_S, Rule, RuleSpec};
use utoipa::ToSchema;
use uuid::Uuid;

use super::content::Amount;
use crate::auth::{ApprovalsRead, ApprovalsRules, Caller};
use crate::input::{InPath, Json as Body};
use crate::openapi::{Changes, Reads};
use crate::problem::{Problem, not_found};
use crate::state::Api;

/// A rule to make or change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleRequest {
    /// Roles that decide: some of `owner`, `manager` and `finance`; owners when left out.
    #[serde(default = "owners")]
    #[schema(example = json!(["owner"]))]
    roles: Vec<String>,
    /// Different people whose approval it takes; 1 when left out.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 10, default = 1)]
    needed: i16,
    /// Whether whoever asked or edited may decide too; false when left out.
    #[serde(default)]
    maker_may_decide: bool,
    /// Whether approving always needs a fresh second factor; false when left out.
    #[serde(default)]
    step_up: bool,
    /// Approving needs one from this amount on, and where the amount is not told or in another currency.
    step_up_above: Option<Amount>,
    /// How long an approval waits for decisions, in seconds; 72 hours when left out.
    #[serde(default = "three_days")]
    #[schema(minimum = 60, maximum = 2_592_000, default = 259_200)]
    expires_after_s: i32,
}

fn owners() -> Vec<String> {
    vec![Role::Owner.to_string()]
}

fn one() -> i16 {
    1
}

fn three_days() -> i32 {
    DEFAULT_EXPIRY_S
}

/// A rule in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuleItem {
    /// What it is about: `job:<kind>` guards that kind, `job_replay` its replays.
    subject_kind: String,
    /// Roles that decide.
    roles: Vec<String>,
    /// Different people whose approval it takes.
    needed: i16,
    /// Whether makers may decide too.
    maker_may_decide: bool,
    /// Whether approving always needs a fresh second factor.
    step_up: bool,
    /// From which amount on it does.
    step_up_above: Option<Amount>,
    /// How long an approval waits, in seconds.
    expires_after_s: i32,
    /// Who last changed it.
    changed_by: Option<Uuid>,
    /// When.
    changed_at: DateTime<Utc>,
}

/// The organisation's rules.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuleList {
    /// By subject. What no rule is about, and moves money, needs one owner who is no maker of it, within 72 hours.
    rules: Vec<RuleItem>,
}

impl From<Rule> for RuleItem {
    fn from(rule: Rule) -> Self {
        Self {
            subject_kind: rule.subject_kind,
            roles: rule.roles,
            needed: rule.needed,
            maker_may_decide: rule.maker_may_decide,
            step_up: rule.step_up,
            step_up_above: rule
                .step_up_above_minor
                .zip(rule.currency)
                .map(|(minor, currency)| Amount { minor, currency }),
            expires_after_s: rule.expires_after_s,
            changed_by: rule.changed_by,
            changed_at: rule.changed_at,
        }
    }
}

/// List the rules of approval
#[utoipa::path(
    get,
    path = "/v1/approvals/rules",
    tag = "approvals",
    operation_id = "listApprovalRules",
    security(("token" = ["approvals:read"])),
    responses((status = 200, description = "The rules.", body = RuleList), Reads),
)]
pub(crate) async fn rules(
    State(api): State<Api>,
    caller: Caller<ApprovalsRead>,
) -> Result<Json<RuleList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let rules = approvals::rules(&mut tx).await?.into_iter().map(Into::into).collect();
    Ok(Json(RuleList { rules }))
}

/// Make or change a rule of approval
///
/// A rule for `job:<kind>` also says that jobs of this kind need an approval before they are enqueued. Approvals
/// that were asked for before keep the rule they were asked under.
#[utoipa::path(
    put,
    path = "/v1/approvals/rules/{subject_kind}",
    tag = "approvals",
    operation_id = "putApprovalRule",
    security(("token" = ["approvals:rules"])),
    params(("subject_kind" = String, Path, description = "`job:<kind>`, `job_replay`, or another noun.")),
    request_body = RuleRequest,
    responses((status = 200, description = "The rule.", body = RuleItem), Changes),
)]
pub(crate) async fn put_rule(
    State(api): State<Api>,
    caller: Caller<ApprovalsRules>,
    InPath(subject_kind): InPath<String>,
    Body(request): Body<RuleRequest>,
) -> Result<Json<RuleItem>, Problem> {
    check_subject(&api, &subject_kind)?;
    let spec = spec(request)?;
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let rule = approvals::put_rule(&mut tx, &subject_kind, &spec).await?;
    tx.commit().await?;
    api.guards().reload().await?;
    Ok(Json(rule.into()))
}

/// Delete a rule of approval
///
/// Kinds that only this rule guarded are enqueued without approval again; what moves money still needs one.
#[utoipa::path(
    delete,
    path = "/v1/approvals/rules/{subject_kind}",
    tag = "approvals",
    operation_id = "deleteApprovalRule",
    security(("token" = ["approvals:rules"])),
    params(("subject_kind" = String, Path, description = "What the rule is about.")),
    responses((status = 204, description = "It is gone."), Changes),
)]
pub(crate) async fn delete_rule(
    State(api): State<Api>,
    caller: Caller<ApprovalsRules>,
    InPath(subject_kind): InPath<String>,
) -> Result<StatusCode, Problem> {
    if subject_kind.contains('\0') {
        return Err(not_found("approval rule"));
    }
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    approvals::delete_rule(&mut tx, &subject_kind).await?;
    tx.commit().await?;
    api.guards().reload().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A rule about a kind that does not exist would guard nothing, and nobody would notice.
fn check_subject(api: &Api, subject_kind: &str) -> Result<(), Problem> {
    let shaped = subject_kind.len() <= 120
        && subject_kind.starts_with(|first: char| first.is_ascii_lowercase())
        && subject_kind
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:".contains(&byte));
    if !shaped {
        return Err(Problem::field(
            "/subject_kind",
            "must read job:<kind>, job_replay or another noun: a-z, 0-9 and _ . :",
        ));
    }
    match subject_kind.strip_prefix("job:") {
        Some(kind) if !api.knows(kind) => Err(Problem::field(
            "/subject_kind",
            format!("names no kind of job that this program knows: {kind}; GET /v1/kinds lists them"),
        )),
        _ => Ok(()),
    }
}

fn spec(request: RuleRequest) -> Result<RuleSpec, Problem> {
    let wrong_role = "must name some of owner, manager and finance";
    let roles: Vec<Role> = request
        .roles
        .iter()
        .map(|word| word.parse().map_err(|_| Problem::field("/roles", wrong_role)))
        .collect::<Result<_, _>>()?;
    let decides = |role: &Role| role.permissions().has(domain::Permission::ApprovalsDecide);
    if roles.is_empty() || !roles.iter().all(decides) {
        return Err(Problem::field("/roles", wrong_role));
    }
    Ok(RuleSpec {
        roles,
        needed: request.needed,
        maker_may_decide: request.maker_may_decide,
        step_up: request.step_up,
        step_up_above: request.step_up_above.map(|amount| (amount.minor, amount.currency)),
        expires_after_s: request.expires_after_s,
    })
}
