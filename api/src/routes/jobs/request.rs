//! A job as callers ask for it, and the checked [`NewJob`] it becomes.

use chrono::{DateTime, Utc};
use domain::{ActorId, WorkspaceId};
use queue::NewJob;
use serde::Deserialize;
use serde_json::value::RawValue;
use store::Actor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::room;
use crate::problem::Problem;
use crate::state::Api;

/// Most jobs that may follow one, over all levels.
const MAX_SUCCESSORS: usize = 100;

/// Most attempts a caller may ask for.
const MAX_ATTEMPTS: i16 = 100;

/// A job to be enqueued.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// What to do; `GET /v1/kinds` lists the kinds.
    #[schema(example = "system.echo")]
    pub(crate) kind: String,
    /// The payload's version; the newest when left out.
    #[schema(minimum = 1)]
    pub(crate) version: Option<i16>,
    /// What to do it with; must fit the kind's schema. At most 256 KiB of JSON text.
    #[schema(value_type = Object, example = json!({"message": "hello"}))]
    pub(crate) payload: Box<RawValue>,
    /// Where to wait; the kind's own lane when left out.
    #[schema(example = "default")]
    pub(crate) lane: Option<String>,
    /// Higher is taken sooner; 0 when left out.
    #[schema(minimum = -100, maximum = 100)]
    pub(crate) priority: Option<i16>,
    /// Not before this moment, at most 366 days ahead; at once when left out.
    pub(crate) run_at: Option<DateTime<Utc>>,
    /// Expires when it has not run by then.
    pub(crate) deadline_at: Option<DateTime<Utc>>,
    /// Attempts in all; the kind's own number when left out.
    #[schema(minimum = 1, maximum = 100)]
    pub(crate) max_attempts: Option<i16>,
    /// While a job of this kind with this key waits, no second one is made: its id is answered instead.
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) unique_key: Option<String>,
    /// Makes repeats harmless, like the header `Idempotency-Key`; for jobs inside a batch or a chain.
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) idempotency_key: Option<String>,
    /// The workspace it belongs to: one that you see. Who is bound to one workspace may leave it out; who sees the
    /// whole organisation may too, and the job then belongs to none. A job in `then` belongs to its
    /// predecessor's unless it says otherwise.
    pub(crate) workspace_id: Option<Uuid>,
    /// Only you will see it, whatever anybody's role; false when left out. A job in `then` is as private as its
    /// predecessor unless it says otherwise.
    pub(crate) private: Option<bool>,
    /// Jobs to enqueue when this one succeeds, in the transaction that completes it. At most 100 over all levels.
    #[serde(default)]
    #[schema(no_recursion)]
    pub(crate) then: Vec<JobRequest>,
}

/// Where a job belongs and who sees it.
#[derive(Clone, Copy)]
struct Belongs {
    workspace_id: Option<WorkspaceId>,
    private_to: Option<ActorId>,
}

/// Whose request a job comes from.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) api: &'a Api,
    pub(crate) actor: &'a Actor,
    pub(crate) request_id: &'a str,
}

impl Asker<'_> {
    /// The job this request asks for, checked as far as it can be without the ledger. One that needs an approval
    /// is refused, also among its successors: nothing may enqueue it by itself.
    pub(crate) fn prepare(&self, request: JobRequest) -> Result<NewJob, Problem> {
        self.api.guards().check(self.actor.org_id, &request.kind)?;
        self.prepare_for_approval(request)
    }

    /// The same for a job that waits for its approval.
    pub(crate) fn prepare_for_approval(&self, request: JobRequest) -> Result<NewJob, Problem> {
        let successors = count(&request.then);
        if successors > MAX_SUCCESSORS {
            let message =
                format!("holds {successors} jobs over all levels; at most {MAX_SUCCESSORS} are allowed");
            return Err(Problem::field("/then", message));
        }
        self.one(request, None)
    }

    fn one(&self, request: JobRequest, before: Option<Belongs>) -> Result<NewJob, Problem> {
        let org = self.actor.org_id;
        let mut job =
            self.api.registry().prepare_asked(org, &request.kind, request.version, request.payload)?;
        job.actor_id = Some(self.actor.actor_id);
        if !self.request_id.is_empty() {
            job.request_id = Some(self.request_id.to_owned());
        }
        let belongs = self.belongs(request.workspace_id, request.private, before)?;
        job.workspace_id = belongs.workspace_id;
        job.private_to = belongs.private_to;
        if let Some(lane) = request.lane {
            self.check_lane(&lane)?;
            job.lane = lane.into();
        }
        if let Some(priority) = request.priority {
            job.priority = priority;
        }
        if let Some(attempts) = request.max_attempts {
            if !(1..=MAX_ATTEMPTS).contains(&attempts) {
                return Err(Problem::field(
                    "/max_attempts",
                    format!("must lie between 1 and {MAX_ATTEMPTS}"),
                ));
            }
            job.max_attempts = attempts;
        }
        job.run_at = request.run_at;
        job.deadline_at = request.deadline_at;
        job.unique_key = request.unique_key;
        if request.idempotency_key.is_some() {
            job.idempotency_key = request.idempotency_key;
        }
        job.successors = request
            .then
            .into_iter()
            .enumerate()
            .map(|(at, next)| {
                let allowed = self.api.guards().check(org, &next.kind);
                allowed
                    .and_then(|()| self.one(next, Some(belongs)))
                    .map_err(|problem| problem.below(&format!("/then/{at}")))
            })
            .collect::<Result<_, _>>()?;
        job.check(self.api.now())?;
        Ok(job)
    }

    fn belongs(
        &self,
        named: Option<Uuid>,
        private: Option<bool>,
        before: Option<Belongs>,
    ) -> Result<Belongs, Problem> {
        let workspace_id = match (named, before) {
            (None, Some(before)) => before.workspace_id,
            (named, _) => room::chosen(self.actor, named)?,
        };
        let private_to = match (private, before) {
            (None, Some(before)) => before.private_to,
            (private, _) => private.unwrap_or(false).then_some(self.actor.actor_id),
        };
        Ok(Belongs { workspace_id, private_to })
    }

    fn check_lane(&self, lane: &str) -> Result<(), Problem> {
        let lanes = self.api.queue().lanes();
        if lanes.get(lane).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = lanes.lanes.iter().map(|setting| &*setting.lane).collect();
        Err(Problem::field("/lane", format!("names no lane; use one of {}", known.join(", "))))
    }
}

fn count(then: &[JobRequest]) -> usize {
    then.iter().map(|job| 1 + count(&job.then)).sum()
}
