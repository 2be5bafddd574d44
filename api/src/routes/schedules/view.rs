//! A schedule as the API shows it.

use schedules::Schedule;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::Api;

/// A schedule with what its jobs do.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScheduleDetail {
    #[serde(flatten)]
    schedule: Schedule,
    /// The payload of its jobs; hidden values read `••••`.
    payload: Option<Value>,
}

impl ScheduleDetail {
    pub(super) fn of(api: &Api, schedule: Schedule) -> Result<Self, Problem> {
        let payload = match &schedule.payload {
            Some(text) => {
                let value = serde_json::from_str(text.get()).map_err(Problem::internal)?;
                Some(api.registry().redact(&schedule.kind, schedule.kind_version, &value))
            }
            None => None,
        };
        Ok(Self { schedule, payload })
    }
}
