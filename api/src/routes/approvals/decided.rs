//! What both decisions share: their answer, their comment, their refusals.

use domain::{ApprovalId, JobId};
use serde::Serialize;
use store::approvals::{DecideError, Decided};
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// What a decision did.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecisionTaken {
    approval_id: ApprovalId,
    /// `approved`, `rejected`, or `pending` while more people are needed.
    #[schema(example = "approved")]
    state: &'static str,
    /// The job that is in the ledger now.
    released_job_id: Option<JobId>,
    /// Where to see how it goes.
    job_url: Option<String>,
}

impl DecisionTaken {
    pub(super) fn of(approval_id: ApprovalId, decided: &Decided) -> Self {
        let released_job_id = decided.released.as_ref().map(|released| released.job_id);
        Self {
            approval_id,
            state: decided.state.as_str(),
            released_job_id,
            job_url: released_job_id.map(|id| format!("/v1/jobs/{id}")),
        }
    }
}

/// A comment people can read later.
pub(super) fn check_comment(comment: &str) -> Result<&str, Problem> {
    let comment = comment.trim();
    if comment.is_empty() || comment.chars().count() > 2000 || comment.contains('\0') {
        return Err(Problem::field("/comment", "must have 1 to 2000 characters and no U+0000"));
    }
    Ok(comment)
}

/// The answer to a decision that was not taken.
pub(super) fn refused(error: DecideError) -> Problem {
    match error {
        DecideError::StepUp(sentence) => {
            Problem::new(Code::StepUpRequired, format!("{sentence}: POST /v1/me/step-up"))
        }
        DecideError::NotYours(sentence) => Problem::new(Code::RoleInsufficient, sentence),
        DecideError::Store(error) => error.into(),
    }
}
