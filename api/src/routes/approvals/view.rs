//! Approvals as the API shows them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use store::approvals::{DecisionMade, Detail, Editor, Objection, Summary};
use store::jobs::Page;
use utoipa::ToSchema;
use uuid::Uuid;

use super::content::{Amount, ShownJob, hex, shown};
use crate::problem::Problem;
use crate::state::Api;

/// One approval in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalItem {
    /// Its id; ids made later are greater.
    approval_id: Uuid,
    /// The workspace it belongs to.
    workspace_id: Option<Uuid>,
    /// What it is about: `job:<kind>`, `job_replay`, or another noun.
    #[schema(example = "job:webhooks.deliver")]
    subject_kind: String,
    /// Which one; a job's id where it is about a job.
    subject_id: String,
    /// What will happen.
    summary: String,
    /// The money it moves.
    amount: Option<Amount>,
    /// SHA-256 of its content, in hex; a decision repeats it.
    content_hash: String,
    /// Where it stands: `pending`, `approved`, `rejected`, `expired`, `voided` or `withdrawn`.
    #[schema(example = "pending")]
    state: &'static str,
    /// Who asked; none for the platform itself.
    requested_by: Option<Uuid>,
    /// Their name.
    requested_by_name: Option<String>,
    /// When.
    requested_at: DateTime<Utc>,
    /// When it ends undecided.
    expires_at: DateTime<Utc>,
    /// When it ended.
    decided_at: Option<DateTime<Utc>>,
    /// Approvals it has.
    approvals: i64,
    /// Whose decision counts.
    rule: RuleInForce,
    /// The approval whose content was edited into this one's.
    replaces: Option<Uuid>,
    /// The job it released.
    released_job_id: Option<Uuid>,
}

/// The rule as it was when the approval was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuleInForce {
    /// Roles that decide.
    roles: Vec<String>,
    /// Different people whose approval it takes.
    needed: i16,
    /// Whether whoever asked or edited may decide too.
    maker_may_decide: bool,
    /// Whether approving needs a fresh second factor.
    step_up: bool,
}

/// A page of approvals.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalList {
    /// Newest first.
    approvals: Vec<ApprovalItem>,
    /// Send it as `cursor` for the next page; none at the end.
    next_cursor: Option<String>,
}

/// Everything that is known about an approval.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalDetail {
    #[serde(flatten)]
    approval: ApprovalItem,
    /// The job it releases.
    job: Option<ShownJob>,
    /// Whatever supports it.
    evidence: Option<Value>,
    /// Decisions, oldest first.
    decisions: Vec<DecisionItem>,
    /// Who gave it its content, and so does not decide on it unless the rule says so.
    makers: Vec<MakerItem>,
    /// The approval that took its place.
    replaced_by: Option<Uuid>,
    /// Whether you may approve it now.
    may_approve: bool,
    /// Why not.
    why_not: Option<WhyNot>,
}

/// Somebody's decision.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecisionItem {
    /// Who.
    actor_id: Uuid,
    /// Their name.
    name: Option<String>,
    /// `approve` or `reject`.
    decision: String,
    /// What they said.
    comment: Option<String>,
    /// When.
    decided_at: DateTime<Utc>,
}

/// Somebody who made or edited the content.
#[derive(Serialize, ToSchema)]
pub(crate) struct MakerItem {
    /// Who.
    actor_id: Uuid,
    /// Their name.
    name: Option<String>,
    /// When they first did.
    first_at: DateTime<Utc>,
}

/// Why you may not approve.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhyNot {
    /// `decided`, `expired`, `changed`, `person`, `disabled`, `role`, `room`, `repeat`, `maker`, `session` or `step_up`.
    #[schema(example = "maker")]
    code: String,
    /// The same for people.
    detail: String,
}

impl From<Summary> for ApprovalItem {
    fn from(row: Summary) -> Self {
        Self {
            approval_id: row.approval_id,
            workspace_id: row.workspace_id,
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            summary: row.summary,
            amount: row.amount_minor.zip(row.currency).map(|(minor, currency)| Amount { minor, currency }),
            content_hash: hex(&row.content_hash),
            state: row.state.as_str(),
            requested_by: row.requested_by,
            requested_by_name: row.requested_by_name,
            requested_at: row.requested_at,
            expires_at: row.expires_at,
            decided_at: row.decided_at,
            approvals: row.approvals,
            rule: RuleInForce {
                roles: row.roles,
                needed: row.needed,
                maker_may_decide: row.maker_may_decide,
                step_up: row.step_up,
            },
            replaces: row.replaces,
            released_job_id: row.released_job_id,
        }
    }
}

impl From<Page<Summary>> for ApprovalList {
    fn from(page: Page<Summary>) -> Self {
        Self { approvals: page.rows.into_iter().map(Into::into).collect(), next_cursor: page.next }
    }
}

impl ApprovalDetail {
    pub(super) fn of(api: &Api, detail: Detail) -> Result<Self, Problem> {
        let (evidence, job) = shown(api, &detail.content)?;
        Ok(Self {
            approval: detail.summary.into(),
            job,
            evidence,
            decisions: detail.decisions.into_iter().map(Into::into).collect(),
            makers: detail.editors.into_iter().map(Into::into).collect(),
            replaced_by: detail.replaced_by,
            may_approve: detail.objection.is_none(),
            why_not: detail.objection.map(Into::into),
        })
    }
}

impl From<DecisionMade> for DecisionItem {
    fn from(made: DecisionMade) -> Self {
        let DecisionMade { actor_id, actor_name: name, decision, comment, decided_at } = made;
        Self { actor_id, name, decision, comment, decided_at }
    }
}

impl From<Editor> for MakerItem {
    fn from(editor: Editor) -> Self {
        Self { actor_id: editor.actor_id, name: editor.actor_name, first_at: editor.first_at }
    }
}

impl From<Objection> for WhyNot {
    fn from(objection: Objection) -> Self {
        Self { code: objection.code, detail: objection.sentence }
    }
}
