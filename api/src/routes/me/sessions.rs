//! `/v1/me/sessions`: where one is signed in, and ending that.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{OrgId, SessionId};
use http::StatusCode;
use serde::Serialize;
use store::Tx;
use store::accounts::sessions::{self, Session};
use store::audit::Entry;
use utoipa::ToSchema;

use crate::auth::Person;
use crate::input::InPath;
use crate::openapi::Mine;
use crate::problem::Problem;
use crate::state::Api;

/// Where one is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    /// The newest first.
    sessions: Vec<SessionItem>,
}

/// One sign-in on one device.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionItem {
    session_id: SessionId,
    org_id: OrgId,
    /// Whether it is the one that asks.
    current: bool,
    created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    last_seen_at: DateTime<Utc>,
    /// When it ends by itself.
    expires_at: DateTime<Utc>,
    /// Where it began.
    address: Option<String>,
    /// What the browser called itself.
    user_agent: Option<String>,
    /// Whether it began with a second factor.
    second_factor: bool,
}

impl SessionItem {
    fn of(session: Session, mine: SessionId) -> Self {
        Self {
            session_id: session.session_id,
            org_id: session.org_id,
            current: session.session_id == mine,
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            expires_at: session.expires_at,
            address: session.address.map(|address| address.to_string()),
            user_agent: session.user_agent,
            second_factor: session.second_factor,
        }
    }
}

/// How many ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ended {
    ended: usize,
}

/// List one's sessions
#[utoipa::path(
    get,
    path = "/v1/me/sessions",
    tag = "me",
    operation_id = "listMySessions",
    security(("session" = [])),
    responses((status = 200, description = "The living sessions, at most 200.", body = SessionList), Mine),
)]
pub(crate) async fn list(State(api): State<Api>, person: Person) -> Result<Json<SessionList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &person.actor).await?;
    let sessions = sessions::list_of_account(&mut tx, api.now()).await?;
    let mine = person.session.session_id;
    Ok(Json(SessionList {
        sessions: sessions.into_iter().map(|session| SessionItem::of(session, mine)).collect(),
    }))
}

/// End one of one's sessions
#[utoipa::path(
    delete,
    path = "/v1/me/sessions/{session_id}",
    tag = "me",
    operation_id = "endMySession",
    security(("session" = [])),
    params(("session_id" = Uuid, Path, description = "The session.")),
    responses((status = 204, description = "It is over."), Mine),
)]
pub(crate) async fn end(
    State(api): State<Api>,
    person: Person,
    InPath(session): InPath<SessionId>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    sessions::end_own(&mut tx, session, api.now()).await?;
    tx.commit().await?;
    api.sessions().forget(&[session]);
    Ok(StatusCode::NO_CONTENT)
}

/// End all other sessions
#[utoipa::path(
    post,
    path = "/v1/me/sessions/end-others",
    tag = "me",
    operation_id = "endMyOtherSessions",
    security(("session" = [])),
    responses((status = 200, description = "Only the present one is left.", body = Ended), Mine),
)]
pub(crate) async fn end_others(State(api): State<Api>, person: Person) -> Result<Json<Ended>, Problem> {
    let mine = person.session.session_id;
    let mut tx = Tx::for_actor(api.store(), &person.actor).await?;
    let ended = sessions::end_all_of_account(&mut tx, Some(mine), api.now()).await?;
    tx.record(
        Entry::new("session.end_others", "session", mine).after(serde_json::json!({ "ended": ended.len() })),
    )
    .await?;
    tx.commit().await?;
    api.sessions().forget(&ended);
    Ok(Json(Ended { ended: ended.len() }))
}
