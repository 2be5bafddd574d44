//! Endpoints and events as they are shown.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use store::hooks::{Endpoint, EventDetail, EventRow};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::state::Api;

/// Longest body that is shown as text, in bytes.
const MAX_SHOWN: usize = 64 * 1024;

/// An address at which one provider's webhooks arrive.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEndpoint {
    endpoint_id: Uuid,
    /// Where the provider is to send its webhooks.
    url: String,
    /// How its signatures read.
    #[schema(example = "stripe")]
    provider: String,
    /// Name for people.
    name: String,
    /// The room it belongs to; none: the whole organisation.
    workspace_id: Option<Uuid>,
    /// Secrets it takes now: two while one is being exchanged.
    secrets: i32,
    /// How far a signed time may lie from now, either way, in seconds.
    tolerance_s: i32,
    /// Where what arrives is sent on to.
    forward_url: Option<String>,
    /// Whether it takes anything.
    enabled: bool,
    /// Who made it.
    created_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    /// When it last got a secret.
    secret_changed_at: DateTime<Utc>,
    /// When something last arrived.
    last_event_at: Option<DateTime<Utc>>,
}

/// An endpoint, and its secret if it was made just now.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEndpointWithSecret {
    #[serde(flatten)]
    endpoint: HookEndpoint,
    /// The secret that was made here; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl HookEndpoint {
    pub(super) fn of(api: &Api, row: Endpoint) -> Self {
        let mut url = api.config().public_url.clone();
        url.set_path(&format!("/v1/hooks/{}/{}", row.provider, row.hook_endpoint_id));
        Self {
            endpoint_id: row.hook_endpoint_id,
            url: url.into(),
            provider: row.provider,
            name: row.name,
            workspace_id: row.workspace_id,
            secrets: row.secrets,
            tolerance_s: row.tolerance_s,
            forward_url: row.forward_url,
            enabled: row.enabled,
            created_by: row.created_by,
            created_at: row.created_at,
            changed_at: row.changed_at,
            secret_changed_at: row.secret_changed_at,
            last_event_at: row.last_event_at,
        }
    }
}

impl HookEndpointWithSecret {
    pub(super) fn of(api: &Api, row: Endpoint, made: Option<&SecretString>) -> Self {
        Self {
            endpoint: HookEndpoint::of(api, row),
            secret: made.map(|secret| secret.expose_secret().to_owned()),
        }
    }
}

/// Something that arrived.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEvent {
    event_id: Uuid,
    endpoint_id: Uuid,
    workspace_id: Option<Uuid>,
    provider: String,
    /// The provider's id of it, by which repeats are recognised.
    provider_event_id: String,
    /// As the provider calls it; none until it was processed.
    event_type: Option<String>,
    received_at: DateTime<Utc>,
    body_bytes: i32,
    /// `received`, `processed` or `failed`.
    #[schema(example = "processed")]
    state: String,
    /// The job that processes it; the newest one after a replay.
    job_id: Uuid,
    processed_at: Option<DateTime<Utc>>,
    /// What became of it, or why it could not be processed.
    result: Option<String>,
}

impl From<EventRow> for HookEvent {
    fn from(row: EventRow) -> Self {
        Self {
            event_id: row.hook_event_id,
            endpoint_id: row.hook_endpoint_id,
            workspace_id: row.workspace_id,
            provider: row.provider,
            provider_event_id: row.provider_event_id,
            event_type: row.event_type,
            received_at: row.received_at,
            body_bytes: row.body_bytes,
            state: row.state,
            job_id: row.job_id,
            processed_at: row.processed_at,
            result: row.result,
        }
    }
}

/// Something that arrived, with what came.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEventDetail {
    #[serde(flatten)]
    event: HookEvent,
    /// The headers that were kept; signatures are not.
    #[schema(value_type = Object)]
    headers: Value,
    /// The body as it came, where it is text of at most 64 KiB.
    body: Option<String>,
}

impl From<EventDetail> for HookEventDetail {
    fn from(detail: EventDetail) -> Self {
        let body = (detail.body.len() <= MAX_SHOWN).then(|| String::from_utf8(detail.body).ok()).flatten();
        Self { event: detail.row.into(), headers: detail.headers, body }
    }
}
