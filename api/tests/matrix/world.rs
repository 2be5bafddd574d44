//! Two organisations, their rooms, and everybody who calls.

use std::collections::HashMap;

use api::ApiConfig;
use domain::{ActorId, OrgId, Permission, Permissions, Role};
use reqwest::{Method, RequestBuilder};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::app::{App, Reply};

/// What somebody shows at the door.
#[derive(Clone)]
pub(crate) enum Papers {
    Session(Session),
    Token(String),
    None,
}

/// Somebody's session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) session_id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) email: String,
    cookie: String,
    csrf: String,
}

impl Papers {
    /// The request with the papers.
    pub(crate) fn shown(&self, request: RequestBuilder, changes: bool) -> RequestBuilder {
        match self {
            Self::Session(session) => {
                let request = request.header("cookie", &session.cookie);
                if changes { request.header("x-csrf-token", &session.csrf) } else { request }
            }
            Self::Token(token) => request.bearer_auth(token),
            Self::None => request,
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Session(session) => Some(session),
            Self::Token(_) | Self::None => None,
        }
    }
}

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) org: OrgId,
    pub(crate) room: Uuid,
    pub(crate) other_room: Uuid,
    pub(crate) other_org: OrgId,
    pub(crate) other_orgs_room: Uuid,
    other_token: String,
    /// Somebody of the first organisation who never calls.
    pub(crate) bystander: Uuid,
    known: HashMap<&'static str, Papers>,
    tokens: Mutex<HashMap<Words, String>>,
}

/// The words of a set of permissions, as a key.
type Words = Vec<String>;

impl World {
    pub(crate) async fn made() -> Self {
        // Whatever breaks is told in the log.
        let _ = telemetry::init_logs(telemetry::LogFormat::Text, "error,sqlx=off");
        let app = App::configured(ApiConfig { max_streams: 10_000, ..ApiConfig::default() }).await;
        let (other_org, other_token) = app.other_org("other").await;
        let org = app.org;
        let pool = app.db.superuser().clone();
        let room_of = async |org: OrgId| -> Uuid {
            let rooms = sqlx::query_scalar("SELECT workspace_id FROM workspace WHERE org_id = $1");
            rooms.bind(org.0).fetch_one(&pool).await.unwrap()
        };
        let (room, other_orgs_room) = (room_of(org).await, room_of(other_org).await);
        let other_room = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO workspace (workspace_id, org_id, slug, name) VALUES ($1, $2, 'second', 'Second')",
        )
        .bind(other_room)
        .bind(org.0)
        .execute(&pool)
        .await
        .unwrap();
        let mut world = Self {
            app,
            org,
            room,
            other_room,
            other_org,
            other_orgs_room,
            other_token,
            bystander: Uuid::nil(),
            known: HashMap::new(),
            tokens: Mutex::default(),
        };
        world.bystander = world.joined(org, Role::Owner).await.actor;
        for role in Role::ALL {
            let papers = world.person(*role).await;
            world.known.insert(role.as_str(), papers);
        }
        world
    }

    /// The person with this role who makes the ordinary calls.
    pub(crate) fn known(&self, role: Role) -> Papers {
        self.known[role.as_str()].clone()
    }

    /// A new person with this role, signed in.
    pub(crate) async fn person(&self, role: Role) -> Papers {
        let joined = self.joined(self.org, role).await;
        self.signed_in(&joined).await
    }

    /// What a member shows who has just signed in.
    pub(crate) async fn signed_in(&self, joined: &Joined) -> Papers {
        let (session_id, cookie) = self.session(joined).await;
        let me = self.app.anonymous(Method::GET, "/v1/me").header("cookie", &cookie);
        let me = Reply::of(me).await.ok();
        let csrf = me["csrf_token"].as_str().unwrap().to_owned();
        Papers::Session(Session {
            session_id,
            account_id: joined.account,
            email: joined.email.clone(),
            cookie,
            csrf,
        })
    }

    /// A new member of an organisation; bound to the first room where the role can be.
    pub(crate) async fn joined(&self, org: OrgId, role: Role) -> Joined {
        let account = Uuid::now_v7();
        let email = format!("{account}@people.test");
        sqlx::query("INSERT INTO account (account_id, email, name) VALUES ($1, $2, 'Somebody')")
            .bind(account)
            .bind(&email)
            .execute(self.app.db.superuser())
            .await
            .unwrap();
        let actor = self.joins(org, account, &email, role).await;
        Joined { org, actor, account, email }
    }

    /// Makes an account a member of an organisation; as whom.
    pub(crate) async fn joins(&self, org: OrgId, account: Uuid, email: &str, role: Role) -> Uuid {
        let actor = Uuid::now_v7();
        let pool = self.app.db.superuser();
        sqlx::query("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $2, 'person', 'Somebody')")
            .bind(actor)
            .bind(org.0)
            .execute(pool)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO member (org_id, actor_id, account_id, email, role, all_workspaces)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(org.0)
        .bind(actor)
        .bind(account)
        .bind(email)
        .bind(role.as_str())
        .bind(role.is_org_wide())
        .execute(pool)
        .await
        .unwrap();
        if !role.is_org_wide() {
            let room = if org == self.org { self.room } else { self.other_orgs_room };
            let bind = "INSERT INTO member_workspace (org_id, actor_id, workspace_id) VALUES ($1, $2, $3)";
            sqlx::query(bind).bind(org.0).bind(actor).bind(room).execute(pool).await.unwrap();
        }
        actor
    }

    /// A session of a member; its id, and the cookie to send.
    pub(crate) async fn session(&self, joined: &Joined) -> (Uuid, String) {
        let token = new_token();
        let session_id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO session (session_id, org_id, account_id, actor_id, token_hash, created_at, last_seen_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, now(), now(), now() + interval '1 day')",
        )
        .bind(session_id)
        .bind(joined.org.0)
        .bind(joined.account)
        .bind(joined.actor)
        .bind(Sha256::digest(token.as_bytes()).as_slice())
        .execute(self.app.db.superuser())
        .await
        .unwrap();
        (session_id, format!("countersign={token}"))
    }

    /// An API token of an organisation that may do everything a token may.
    pub(crate) fn token_of(&self, org: OrgId) -> &str {
        if org == self.other_org { &self.other_token } else { &self.app.token }
    }

    /// An API token that may do everything a token may.
    pub(crate) fn whole_token(&self) -> Papers {
        Papers::Token(self.app.token.clone())
    }

    pub(crate) async fn token_with(&self, permission: Permission, also: &[Permission]) -> Papers {
        self.token(Permissions::of(&[&[permission], also].concat())).await
    }

    pub(crate) async fn token_without(&self, permission: Permission) -> Papers {
        let others: Vec<Permission> =
            Permissions::TOKEN.iter().filter(|other| *other != permission).collect();
        self.token(Permissions::of(&others)).await
    }

    async fn token(&self, permissions: Permissions) -> Papers {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(&permissions.words()) {
            return Papers::Token(token.clone());
        }
        let token = self.app.token_of(self.org, ActorId(self.bystander), permissions, None).await;
        tokens.insert(permissions.words(), token.clone());
        Papers::Token(token)
    }
}

/// Shaped like the 256 random bits of a session or a link.
pub(crate) fn new_token() -> String {
    format!("{}{}", Uuid::now_v7().simple(), &Uuid::now_v7().simple().to_string()[21..])
}

/// Somebody who belongs to an organisation.
pub(crate) struct Joined {
    pub(crate) org: OrgId,
    pub(crate) actor: Uuid,
    pub(crate) account: Uuid,
    pub(crate) email: String,
}
