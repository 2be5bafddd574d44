//! `GET /v1/events`: changes of the organisation's jobs as they happen (server-sent events).
//!
//! It is for looking, not for remembering: after `reset` read the lists again.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use queue::events::{Event as Change, Watch};
use serde::Deserialize;
use store::{Actor, StoreError, Tx};
use uuid::Uuid;

use crate::auth::{Caller, JobsRead};
use crate::openapi::Streams;
use crate::problem::{Code, Problem, redis_away};
use crate::state::Api;
use crate::streams::Slot;

/// A comment is sent when nothing else was for so long, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Longest life of one stream. The client comes back with its last id.
const LONGEST: Duration = Duration::from_secs(600);

/// Watch jobs change
///
/// Only changes of jobs that you may see. Each is an event `job` whose data is `{"job_id", "kind", "lane", "state"}` and whose id can be sent
/// as `Last-Event-ID` to go on after it. Approvals that you may see come as events `approval` whose data is
/// `{"approval_id", "state", "subject_kind"}`. An event `reset` says that changes were missed: read the lists again.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "jobs",
    operation_id = "watchJobs",
    security(("token" = ["jobs:read"])),
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen.")),
    responses((status = 200, description = "An endless stream.", content_type = "text/event-stream", body = String), Streams),
)]
pub(crate) async fn events(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let slot = api.streams().take(caller.actor.org_id).ok_or_else(|| {
        Problem::new(
            Code::TooManyStreams,
            "your organisation has as many event streams open here as it may; close one, or try again shortly",
        )
        .retry_after(HEARTBEAT)
    })?;
    let last =
        headers.get("last-event-id").and_then(|value| value.to_str().ok()).filter(|id| is_position(id));
    let watch =
        api.queue().events().watch(caller.actor.org_id, last.map(str::to_owned)).await.map_err(redis_away)?;
    let over = tokio::time::timeout(LONGEST, api.stopping().clone().cancelled_owned());
    let events = changes(Watching { api, caller, watch, _slot: slot }).take_until(over);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    // Proxies that collect answers before passing them on would hold the events back.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// A stream position as Redis writes it. Anything else is nobody's last event: the stream starts at now.
fn is_position(text: &str) -> bool {
    text.split_once('-').is_some_and(|(ms, seq)| {
        [ms, seq].iter().all(|part| {
            !part.is_empty() && part.len() <= 19 && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

/// Somebody's open stream.
struct Watching {
    api: Api,
    caller: Caller<JobsRead>,
    watch: Watch,
    _slot: Slot,
}

/// Ends when Redis or PostgreSQL can't be read any more: the client comes back with the last id it saw. Ends too
/// when its reader may listen no longer, which is asked before anything is told, and at least every ten seconds.
fn changes(watching: Watching) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watching, |mut watching| async move {
        let changes = match watching.watch.next().await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::debug!(%error, "an event stream ended");
                return None;
            }
        };
        let actor = match watching.caller.still(&watching.api).await {
            Ok(actor) => actor,
            Err(problem) => {
                tracing::debug!(
                    code = problem.code().as_str(),
                    "an event stream ended with its reader's leave"
                );
                return None;
            }
        };
        match seen(&watching.api, &actor, changes).await {
            Ok(changes) => {
                Some((stream::iter(changes.into_iter().map(|change| Ok(written(change)))), watching))
            }
            Err(error) => {
                tracing::debug!(%error, "an event stream ended: nobody could say what its reader may see");
                None
            }
        }
    })
    .flatten()
}

/// What a change says it is about.
#[derive(Deserialize)]
struct About {
    job_id: Uuid,
}

fn job_of(change: &Change) -> Option<Uuid> {
    match change {
        Change::Change { json, .. } => serde_json::from_str::<About>(json).ok().map(|about| about.job_id),
        Change::Approval { .. } | Change::Reset => None,
    }
}

#[derive(Deserialize)]
struct AboutApproval {
    approval_id: Uuid,
}

fn approval_of(change: &Change) -> Option<Uuid> {
    match change {
        Change::Approval { json, .. } => {
            serde_json::from_str::<AboutApproval>(json).ok().map(|about| about.approval_id)
        }
        Change::Change { .. } | Change::Reset => None,
    }
}

/// Those changes that the actor may see, all of one batch asked for at once.
async fn seen(api: &Api, actor: &Actor, changes: Vec<Change>) -> Result<Vec<Change>, StoreError> {
    let jobs: Vec<Uuid> = changes.iter().filter_map(job_of).collect();
    let visible = match jobs.is_empty() {
        true => HashSet::new(),
        false => store::jobs::visible(&mut Tx::for_reader(api.store(), actor).await?, &jobs).await?,
    };
    let approvals: Vec<Uuid> = changes.iter().filter_map(approval_of).collect();
    let approvals = match approvals.is_empty() {
        true => HashSet::new(),
        false => {
            store::approvals::visible(&mut Tx::for_reader(api.store(), actor).await?, &approvals).await?
        }
    };
    let shown = |change: &Change| match change {
        Change::Change { .. } => job_of(change).is_some_and(|job| visible.contains(&job)),
        Change::Approval { .. } => approval_of(change).is_some_and(|one| approvals.contains(&one)),
        Change::Reset => true,
    };
    Ok(changes.into_iter().filter(shown).collect())
}

fn written(change: Change) -> Event {
    match change {
        Change::Change { id, json } => Event::default().event("job").id(id).data(json),
        Change::Approval { id, json } => Event::default().event("approval").id(id).data(json),
        Change::Reset => Event::default().event("reset").data("{}"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_position;

    #[test]
    fn only_positions_are_positions() {
        assert!(is_position("1717171717171-0"));
        for text in ["", "-", "1-", "x-1", "1-2-3", "$", "99999999999999999999-0"] {
            assert!(!is_position(text), "{text}");
        }
    }
}
