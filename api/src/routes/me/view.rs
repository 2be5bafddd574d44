//! Whoever is signed in, as they see themselves.

use chrono::{DateTime, Utc};
use domain::{AccountId, ActorId, OrgId, SessionId, WorkspaceId};
use serde::Serialize;
use store::accounts::sessions::Presented;
use store::accounts::{self, Membership, Room, second_factor};
use store::{Actor, Tx, Workspaces};
use utoipa::ToSchema;

use crate::auth::csrf;
use crate::problem::{Problem, not_found};
use crate::state::Api;

/// Whoever is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    account: MyAccount,
    /// The organisation worked in.
    org: MyOrg,
    /// As whom: what the organisation's things name.
    actor_id: ActorId,
    /// The rooms seen there.
    workspaces: Vec<MyRoom>,
    /// Whether every room is seen, also later ones.
    all_workspaces: bool,
    /// Every organisation one belongs to.
    orgs: Vec<MyOrg>,
    session: MySession,
    /// To be sent as `X-CSRF-Token` with every change; only where the session's cookie was sent.
    csrf_token: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct MyAccount {
    account_id: AccountId,
    email: String,
    name: String,
    /// `en`, `es`, `ne` or `ar`.
    locale: String,
    /// Whether signing in needs a code.
    second_factor: bool,
    /// Recovery codes that still work.
    recovery_codes_left: i64,
    /// Whether there is a password, or one signs in elsewhere only.
    has_password: bool,
}

#[derive(Serialize, ToSchema)]
struct MyOrg {
    org_id: OrgId,
    slug: String,
    name: String,
    /// `owner`, `manager`, `finance`, `support` or `auditor`.
    role: &'static str,
}

/// A room.
#[derive(Serialize, ToSchema)]
pub(crate) struct MyRoom {
    workspace_id: WorkspaceId,
    slug: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
struct MySession {
    session_id: SessionId,
    /// When it ends by itself.
    expires_at: DateTime<Utc>,
    /// Whether it began with a second factor.
    second_factor: bool,
    /// When a code was last shown again.
    step_up_at: Option<DateTime<Utc>>,
}

impl From<Room> for MyRoom {
    fn from(room: Room) -> Self {
        Self { workspace_id: room.workspace_id, slug: room.slug, name: room.name }
    }
}

impl From<Membership> for MyOrg {
    fn from(membership: Membership) -> Self {
        Self {
            org_id: membership.org_id,
            slug: membership.slug,
            name: membership.name,
            role: membership.role.as_str(),
        }
    }
}

impl Me {
    /// `with_csrf`: whoever asks can read what only our own pages may.
    pub(crate) async fn of(
        api: &Api,
        actor: &Actor,
        session: &Presented,
        with_csrf: bool,
    ) -> Result<Self, Problem> {
        let mut orgs = accounts::memberships(api.store(), session.account_id).await?;
        orgs.retain(|org| !org.disabled);
        let here = orgs.iter().find(|org| org.org_id == actor.org_id).cloned();
        let mut tx = Tx::for_reader(api.store(), actor).await?;
        let account = accounts::get(&mut tx).await?;
        let left = second_factor::codes_left(&mut tx).await?;
        let rooms = accounts::rooms(&mut tx).await?;
        let csrf_token = with_csrf.then(|| csrf::token(api.auth_keys()?, &session.token_hash)).transpose()?;
        Ok(Self {
            account: MyAccount {
                account_id: account.account_id,
                email: account.email,
                name: account.name,
                locale: account.locale,
                second_factor: account.totp_sealed.is_some(),
                recovery_codes_left: left,
                has_password: account.password_hash.is_some(),
            },
            org: here.map(MyOrg::from).ok_or_else(|| not_found("membership"))?,
            actor_id: actor.actor_id,
            workspaces: rooms.into_iter().map(MyRoom::from).collect(),
            all_workspaces: actor.workspaces == Workspaces::All,
            orgs: orgs.into_iter().map(MyOrg::from).collect(),
            session: MySession {
                session_id: session.session_id,
                expires_at: session.expires_at,
                second_factor: session.second_factor,
                step_up_at: session.step_up_at,
            },
            csrf_token,
        })
    }
}
