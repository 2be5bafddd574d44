//! `/v1/people/{actor_id}/sessions`: somebody's sign-ins in this organisation.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::ActorId;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use store::Tx;
use store::accounts::sessions;
use store::audit::Entry;
use store::people::members;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, PeopleWrite};
use crate::input::InPath;
use crate::openapi::{Changes, ReadsOne};
use crate::problem::Problem;
use crate::routes::people::ask;
use crate::state::Api;

/// Somebody's sign-ins.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonSessionList {
    /// Those that may still be used, the newest first.
    sessions: Vec<PersonSessionItem>,
}

/// One sign-in.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonSessionItem {
    session_id: Uuid,
    /// When they signed in.
    created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    last_seen_at: DateTime<Utc>,
    /// When it ends by itself at the latest.
    expires_at: DateTime<Utc>,
    /// Where the sign-in came from.
    #[schema(example = "203.0.113.7")]
    address: Option<String>,
    /// What the browser called itself.
    user_agent: Option<String>,
    /// Whether a second factor was shown.
    second_factor: bool,
}

/// List a person's sessions
#[utoipa::path(
    get,
    path = "/v1/people/{actor_id}/sessions",
    tag = "people",
    operation_id = "listPersonSessions",
    security(("token" = ["people:write"])),
    params(("actor_id" = Uuid, Path, description = "The person.")),
    responses((status = 200, description = "Their sign-ins in this organisation.", body = PersonSessionList), ReadsOne),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(actor): InPath<Uuid>,
) -> Result<Json<PersonSessionList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let member = members::get(&mut tx, ActorId(actor)).await?;
    let sessions = sessions::list_of_member(&mut tx, member.actor_id, api.now()).await?;
    let shown = sessions.into_iter().map(|session| PersonSessionItem {
        session_id: session.session_id.0,
        created_at: session.created_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.expires_at,
        address: session.address.map(|address| address.to_string()),
        user_agent: session.user_agent,
        second_factor: session.second_factor,
    });
    Ok(Json(PersonSessionList { sessions: shown.collect() }))
}

/// End a person's sessions
///
/// All of them in this organisation; they sign in anew.
#[utoipa::path(
    delete,
    path = "/v1/people/{actor_id}/sessions",
    tag = "people",
    operation_id = "endPersonSessions",
    security(("token" = ["people:write"])),
    params(("actor_id" = Uuid, Path, description = "The person.")),
    responses((status = 204, description = "They are over."), Changes),
)]
pub(crate) async fn end_all(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(actor): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let member = members::get(&mut tx, ActorId(actor)).await?;
    ask::check_reach(&caller.actor, member.role)?;
    let ended = sessions::end_all_of_member(&mut tx, member.actor_id, api.now()).await?;
    // Each that ended is recorded; that somebody asked is too, also when there was none.
    let entry = Entry::new("member.end_sessions", "member", member.actor_id);
    tx.record(entry.after(json!({ "sessions_ended": ended.len() }))).await?;
    tx.commit().await?;
    api.sessions().forget(&ended);
    Ok(StatusCode::NO_CONTENT)
}
