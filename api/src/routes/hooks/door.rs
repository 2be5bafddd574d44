//! `POST /v1/hooks/{provider}/{endpoint_id}`: where providers' webhooks arrive. Public.
//!
//! Whoever is not believed is told nothing: an address that is not there, a wrong signature and a stale time
//! get the same answer. What is believed is stored as it came, once, with the job that processes it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use domain::{HookEndpointId, HookEventId};
use http::{HeaderMap, StatusCode};
use jobs::hooks::ProcessEvent;
use jobs::hooks::signature::{Arrival, scheme};
use serde::Serialize;
use serde_json::{Map, Value};
use store::hooks::{self, NewEvent};
use store::{Origin, Tx};
use telemetry::metric;
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret;
use crate::auth::origin::origin;
use crate::input::{InPath, read};
use crate::openapi::TakesHooks;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// Largest body.
const MAX_BODY: usize = 1024 * 1024;

/// Headers worth keeping: they tell something, and none of them signs or lets in.
const KEPT: [&str; 5] = ["content-type", "user-agent", "webhook-id", "webhook-timestamp", "request-id"];

/// Longest header value kept, in characters.
const MAX_KEPT: usize = 300;

/// A webhook that was taken in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Taken {
    /// Our id of it.
    pub(super) event_id: Uuid,
    /// The job that processes it.
    pub(super) job_id: Uuid,
}

/// Receive a webhook
///
/// For providers. The raw body must be signed as the endpoint's provider signs, at a time near now. A repeat is
/// answered as the first was, and makes no second job.
#[utoipa::path(
    post,
    path = "/v1/hooks/{provider}/{endpoint_id}",
    tag = "inbound webhooks",
    operation_id = "receiveHook",
    security(()),
    params(
        ("provider" = String, Path, description = "How it is signed: `standard` or `stripe`."),
        ("endpoint_id" = String, Path, description = "The endpoint."),
    ),
    request_body(content = String, description = "Whatever the provider sends, at most 1 MiB.",
        content_type = "application/json"),
    responses(
        (status = 202, description = "It is stored, with the job that processes it.", body = Taken),
        (status = 200, description = "It had arrived before.", body = Taken),
        TakesHooks,
    ),
)]
pub(crate) async fn receive(
    State(api): State<Api>,
    InPath((provider, endpoint)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let Ok(endpoint) = endpoint.parse::<Uuid>() else { return Err(refused(None, "no_endpoint")) };
    api.hook_rates().check(endpoint).map_err(|wait| {
        count("unknown", "rate_limited");
        Problem::new(Code::RateLimited, "this address is sent more than it takes; send the rest later")
            .retry_after(wait)
    })?;
    let (parts, body) = request.into_parts();
    let origin = origin(&parts, api.config());
    let headers = parts.headers.clone();
    let body = read(Request::from_parts(parts, body), &api, MAX_BODY).await?;
    let door = Door { api: &api, endpoint: HookEndpointId(endpoint), origin: &origin };
    door.take_in(&provider, &headers, &body).await
}

struct Door<'a> {
    api: &'a Api,
    endpoint: HookEndpointId,
    origin: &'a Origin,
}

impl Door<'_> {
    async fn take_in(&self, provider: &str, headers: &HeaderMap, body: &[u8]) -> Result<Response, Problem> {
        let Some(known) = hooks::look_up(self.api.store(), self.endpoint).await? else {
            return Err(refused(None, "no_endpoint"));
        };
        let Believed { name, provider_event_id, kept } = self.believe(&known, provider, headers, body)?;
        let event_id = HookEventId::new();
        let mut job = jobs::new_job(known.org_id, &ProcessEvent { hook_event_id: event_id })?;
        job.workspace_id = known.workspace_id;
        job.request_id = self.origin.request_id.as_deref().map(str::to_owned);
        let jobs = [job];
        let mut tx = Tx::system(self.api.store(), known.org_id, "a webhook arrived").await?.from(self.origin);
        let new = NewEvent {
            event_id,
            endpoint_id: self.endpoint,
            workspace_id: known.workspace_id,
            provider: name,
            provider_event_id: &provider_event_id,
            headers: &kept,
            body,
            job_id: jobs[0].job_id,
        };
        let arrived = hooks::store(&mut tx, &new).await?;
        if arrived.is_new {
            self.api.queue().enqueue_in(tx.conn(), &jobs).await?;
            tx.commit().await?;
            self.api.queue().announce(&jobs);
        }
        count(name, if arrived.is_new { "taken" } else { "repeated" });
        let status = if arrived.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
        let taken = Taken { event_id: arrived.event_id.0, job_id: arrived.job_id.0 };
        Ok((status, Json(taken)).into_response())
    }

    /// Judges a request by what is known of its endpoint.
    fn believe(
        &self,
        known: &hooks::Door,
        provider: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Believed, Problem> {
        let Some(scheme) = scheme(&known.provider).filter(|_| known.provider == provider) else {
            return Err(refused(None, "other_provider"));
        };
        let name = scheme.provider();
        if !known.enabled {
            return Err(refused(Some(name), "disabled"));
        }
        let secrets = secret::open(self.api, self.endpoint, &known.secrets_sealed)?;
        let header = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        let tolerance = Duration::from_secs(known.tolerance_s.unsigned_abs().into());
        let provider_event_id = scheme
            .verify(&Arrival { header: &header, body }, &secrets, self.api.now(), tolerance)
            .map_err(|why| refused(Some(name), why.as_str()))?;
        let kept: Map<String, Value> = KEPT
            .iter()
            .filter_map(|name| {
                let value: String = header(name)?.chars().take(MAX_KEPT).collect();
                Some(((*name).to_owned(), value.into()))
            })
            .collect();
        Ok(Believed { name, provider_event_id, kept: kept.into() })
    }
}

/// A request whose signature and time are right.
struct Believed {
    /// The provider.
    name: &'static str,
    provider_event_id: String,
    /// Headers worth keeping.
    kept: Value,
}

/// The one answer to whoever is not believed. Why, only the figures and the log know.
fn refused(provider: Option<&'static str>, why: &'static str) -> Problem {
    count(provider.unwrap_or("unknown"), why);
    tracing::info!(provider, why, "a webhook was refused");
    Problem::new(
        Code::HookRefused,
        "this webhook was not accepted; check the address, the signing secret and the sender's clock",
    )
}

fn count(provider: &'static str, outcome: &'static str) {
    metrics::counter!(metric::HOOKS_TOTAL, "provider" => provider, "outcome" => outcome).increment(1);
}
