//! `POST /v1/jobs`: one job into the ledger. The answer means that it is committed.

use axum::extract::State;
use axum::response::Response;
use domain::JobId;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use queue::Enqueued;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{Asker, JobRequest};
use super::room;
use crate::auth::{Caller, JobsWrite};
use crate::input::Json;
use crate::openapi::Takes;
use crate::problem::{Code, Problem};
use crate::state::Api;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A job that is in the ledger.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The job's id.
    pub(crate) job_id: JobId,
    /// False when a key led to a job that was there already.
    pub(crate) created: bool,
    /// Where to see how it goes.
    #[schema(example = "/v1/jobs/0197f0c2-7a5e-7c31-9d1e-3f6a2b8c4d5e")]
    pub(crate) status_url: String,
}

impl From<Enqueued> for Accepted {
    fn from(enqueued: Enqueued) -> Self {
        let Enqueued { job_id, created } = enqueued;
        Self { job_id, created, status_url: format!("/v1/jobs/{job_id}") }
    }
}

/// Enqueue a job
///
/// The answer is given when the job is committed. With an `Idempotency-Key`, a repeat with the same payload
/// is answered with the first job and makes none; the same key with another payload is refused.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    tag = "jobs",
    operation_id = "enqueueJob",
    security(("token" = ["jobs:write"])),
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible characters, unique per organisation and kind. A kind may derive one from the payload when it is left out.")),
    request_body = JobRequest,
    responses(
        (status = 202, description = "The job is committed.", body = Accepted, headers(
            ("Location" = String, description = "Where to see how it goes."),
            ("Idempotent-Replayed" = Option<bool>, description = "`true` when the key led to a job that was there already."),
        )),
        Takes,
    ),
)]
pub(crate) async fn enqueue(
    State(api): State<Api>,
    caller: Caller<JobsWrite>,
    headers: HeaderMap,
    Json(mut request): Json<JobRequest>,
) -> Result<Response, Problem> {
    if let Some(key) = header_key(&headers)? {
        if request.idempotency_key.as_ref().is_some_and(|other| *other != key) {
            return Err(Problem::new(
                Code::BadIdempotencyKey,
                "the header Idempotency-Key and the field idempotency_key differ; send one of them",
            ));
        }
        request.idempotency_key = Some(key);
    }
    room::check_named(&api, &caller.actor, [(String::new(), &request)]).await?;
    let asker = Asker { api: &api, actor: &caller.actor, request_id: &caller.request_id };
    let job = asker.prepare(request)?;
    let enqueued = api.queue().enqueue(job).await?;
    accepted(enqueued)
}

fn accepted(enqueued: Enqueued) -> Result<Response, Problem> {
    let body = Accepted::from(enqueued);
    let location = HeaderValue::from_str(&body.status_url).map_err(Problem::internal)?;
    let json = serde_json::to_vec(&body).map_err(Problem::internal)?;
    let mut response = Response::new(json.into());
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::LOCATION, location);
    if !enqueued.created {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The key in the header, checked; its uniqueness is the ledger's business.
pub(crate) fn header_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=queue::new_job::MAX_KEY_BYTES).contains(&key.len()) && sent.next().is_none());
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::new(
            Code::BadIdempotencyKey,
            "send the header Idempotency-Key once, with 1 to 255 visible ASCII characters",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn header_keys_are_short_visible_and_single() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            header_key(&headers)
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[b"order 42"]).unwrap().as_deref(), Some("order 42"));
        let long = [b'x'; 256];
        for bad in [&[b"".as_slice()] as &[&[u8]], &[&long], &["ü".as_bytes()], &[b"a\tb\xff"], &[b"a", b"b"]]
        {
            assert_eq!(of(bad).unwrap_err().code(), Code::BadIdempotencyKey, "{bad:?}");
        }
    }
}
