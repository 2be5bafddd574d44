//! The caller, as an extractor that states what they must be allowed.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use domain::Permission;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use store::accounts::sessions::Presented;
use store::{Actor, Standing};

use super::cookies::Cookie;
use super::sessions::Named;
use super::{access_tokens, csrf, origin};
use crate::edge::RequestId;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// A permission as a type.
pub(crate) trait Needs: Send + Sync + 'static {
    const PERMISSION: Permission;
}

macro_rules! needs {
    ($($name:ident)+) => {
        $(
            pub(crate) struct $name;
            impl Needs for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )+
    };
}
needs!(
    JobsRead JobsWrite DeadWrite LanesWrite LimitsWrite SchedulesWrite ApprovalsRead ApprovalsRequest
    ApprovalsDecide ApprovalsRules AuditRead PeopleRead PeopleWrite TokensRead TokensWrite SecretsRead SecretsWrite
    HooksRead HooksWrite OrgWrite
);

/// Somebody who was checked and may do `P`.
pub(crate) struct Caller<P> {
    pub(crate) actor: Actor,
    pub(crate) request_id: String,
    shown: Shown,
    permission: PhantomData<P>,
}

/// What somebody was let in by.
#[derive(Clone, Copy)]
enum Shown {
    /// The SHA-256 of an API token.
    Token([u8; 32]),
    Session(Named),
}

impl<P: Needs> Caller<P> {
    /// The same caller as they are now, for answers that go on for long: they may have lost role, rooms or
    /// session since.
    pub(crate) async fn still(&self, api: &Api) -> Result<Actor, Problem> {
        let actor = match self.shown {
            Shown::Token(hash) => api.tokens().still(&hash).await?,
            Shown::Session(named) => api.sessions().still(named).await?.actor.clone(),
        };
        if !actor.permissions.has(P::PERMISSION) {
            return Err(lacking(&actor, P::PERMISSION));
        }
        Ok(actor)
    }
}

impl<P: Needs> FromRequestParts<Api> for Caller<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Admitted { actor, shown, .. } = Admitted::of(parts, api).await?;
        if !actor.permissions.has(P::PERMISSION) {
            return Err(lacking(&actor, P::PERMISSION));
        }
        Ok(Self { request_id: request_id(parts), actor, shown, permission: PhantomData })
    }
}

/// A signed-in person, whatever their role.
pub(crate) struct Person {
    pub(crate) actor: Actor,
    pub(crate) session: Arc<Presented>,
    /// The session was shown by its cookie, not by an access token.
    pub(crate) by_cookie: bool,
}

impl FromRequestParts<Api> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Admitted { actor, session, by_cookie, .. } = Admitted::of(parts, api).await?;
        let session = session.ok_or_else(|| {
            Problem::new(Code::PersonRequired, "an API token is nobody; sign in to do this as a person")
        })?;
        Ok(Self { actor, session, by_cookie })
    }
}

/// Whoever was let in, by whatever they showed.
struct Admitted {
    actor: Actor,
    shown: Shown,
    session: Option<Arc<Presented>>,
    by_cookie: bool,
}

impl Admitted {
    /// An API token or an access token in the Authorization header, else the session's cookie.
    async fn of(parts: &Parts, api: &Api) -> Result<Self, Problem> {
        let origin = origin::origin(parts, api.config());
        if let Some(token) = bearer(&parts.headers)? {
            if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
                let (hash, actor) = api.tokens().admit(token).await?;
                let shown = Shown::Token(hash);
                return Ok(Self { actor: actor.from(origin), shown, session: None, by_cookie: false });
            }
            let id = access_tokens::session_of(api.auth_keys()?, token, api.now())?;
            let session = api.sessions().admit(Named::Id(id)).await?;
            let (actor, shown) = (session.actor.clone().from(origin), Shown::Session(Named::Id(id)));
            return Ok(Self { actor, shown, session: Some(session), by_cookie: false });
        }
        let sent = Cookie::Session.sent(&parts.headers, api.config()).ok_or_else(missing)?;
        if sent.is_empty() {
            return Err(missing());
        }
        // Another shape finds no session either: the answer is the same.
        let hash = super::cookies::hash(sent);
        let session = api.sessions().admit(Named::Token(hash)).await?;
        csrf::check(api.auth_keys()?, &hash, &parts.method, &parts.headers)?;
        let (actor, shown) = (session.actor.clone().from(origin), Shown::Session(Named::Token(hash)));
        Ok(Self { actor, shown, session: Some(session), by_cookie: true })
    }
}

fn lacking(actor: &Actor, permission: Permission) -> Problem {
    match actor.standing {
        Standing::Person(role) => Problem::new(
            Code::RoleInsufficient,
            format!("this needs {permission}, which the role {role} does not have; ask an owner"),
        ),
        Standing::Token | Standing::System => Problem::new(
            Code::ScopeMissing,
            format!("this needs the scope {permission}; make a token that has it"),
        ),
    }
}

fn request_id(parts: &Parts) -> String {
    parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.0.to_string())
}

fn missing() -> Problem {
    Problem::new(Code::TokenMissing, "sign in, or send an API token as Authorization: Bearer cst_…")
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"countersign\""))
}

/// The token of the Authorization header; none without that header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
    token.map(Some).ok_or_else(|| {
        super::tokens::refused("the Authorization header must read Bearer, a space and the token")
    })
}
