//! Why a schedule was not changed, found or run, in words that say what to do.

use jobs::PrepareError;
use queue::{EnqueueError, QueueError};
use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong with one field of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// The field's name, such as `expression`.
    pub field: &'static str,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Why an action on schedules was not carried out. After any of these the caller rolls back.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// No such schedule in this organisation.
    #[error("there is no such schedule here")]
    NotFound,
    /// Two schedules of an organisation can't share a name.
    #[error("there is already a schedule named “{0}”; choose another name or change that one")]
    NameTaken(String),
    /// The organisation has as many schedules as it may.
    #[error("this organisation has {limit} schedules, the most there may be; delete some first")]
    TooMany {
        /// The most there may be.
        limit: i64,
    },
    /// Fields that a schedule can't have; all of them at once, never empty.
    #[error("{}", sentence(.0))]
    Invalid(Vec<FieldProblem>),
    /// The stored payload no longer makes a job of its kind: change the schedule.
    #[error(transparent)]
    Payload(#[from] PrepareError),
    /// The ledger did not take the job.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    /// The servers' fault.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl ScheduleError {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem { field, problem: problem.into() }])
    }
}

impl From<sqlx::Error> for ScheduleError {
    fn from(error: sqlx::Error) -> Self {
        // What the ledger's own rules refuse is told as an enqueue's refusal is.
        match EnqueueError::from(error) {
            EnqueueError::Queue(error) => Self::Queue(error),
            refused => Self::Enqueue(refused),
        }
    }
}

fn sentence(problems: &[FieldProblem]) -> String {
    let told: Vec<_> = problems.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.problem)).collect();
    told.join("; ")
}
