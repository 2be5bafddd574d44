//! `GET /v1/hooks/events`: what arrived, newest first.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::HookEndpointId;
use serde::{Deserialize, Serialize};
use store::hooks::EventFilter;
use store::{Tx, hooks};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::HookEvent;
use crate::auth::{Caller, HooksRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::routes::jobs::no_nul;
use crate::state::Api;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HookEventParams {
    /// Arrived at this endpoint.
    endpoint: Option<Uuid>,
    /// Sent by this provider.
    provider: Option<String>,
    /// `received`, `processed` or `failed`.
    state: Option<String>,
    /// Of exactly this type.
    event_type: Option<String>,
    /// With exactly this id of the provider's.
    provider_event_id: Option<String>,
    /// Arrived at or after this moment.
    received_from: Option<DateTime<Utc>>,
    /// Arrived before this moment.
    received_to: Option<DateTime<Utc>>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Events wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEventList {
    /// Newest first, without their bodies.
    events: Vec<HookEvent>,
    /// Where the next page begins; none at the end.
    next_cursor: Option<String>,
}

/// List inbound webhooks
#[utoipa::path(
    get,
    path = "/v1/hooks/events",
    tag = "inbound webhooks",
    operation_id = "listHookEvents",
    security(("token" = ["hooks:read"])),
    params(HookEventParams),
    responses((status = 200, description = "A page of events.", body = HookEventList), Reads),
)]
pub(crate) async fn events(
    State(api): State<Api>,
    caller: Caller<HooksRead>,
    Params(params): Params<HookEventParams>,
) -> Result<Json<HookEventList>, Problem> {
    for text in [&params.provider, &params.state, &params.event_type, &params.provider_event_id] {
        no_nul(text.as_deref())?;
    }
    if params.state.as_deref().is_some_and(|state| !["received", "processed", "failed"].contains(&state)) {
        return Err(Problem::new(Code::BadQuery, "state: must be received, processed or failed"));
    }
    let limit = params.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err(Problem::new(Code::BadQuery, "limit: must lie between 1 and 200"));
    }
    let filter = EventFilter {
        endpoint_id: params.endpoint.map(HookEndpointId),
        provider: params.provider,
        state: params.state,
        event_type: params.event_type,
        provider_event_id: params.provider_event_id,
        received_from: params.received_from,
        received_to: params.received_to,
    };
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = hooks::events(&mut tx, &filter, params.cursor.as_deref(), limit).await?;
    Ok(Json(HookEventList {
        events: page.rows.into_iter().map(HookEvent::from).collect(),
        next_cursor: page.next,
    }))
}
