//! The caller, as an extractor that states what they must be allowed.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use store::{Actor, Scope};

use crate::edge::RequestId;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// A scope as a type.
pub(crate) trait Needs: Send + Sync + 'static {
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($name:ident)+) => {
        $(
            pub(crate) struct $name;
            impl Needs for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )+
    };
}
scopes!(JobsRead JobsWrite DeadWrite LanesWrite LimitsWrite SchedulesWrite);

/// Somebody whose token was checked and holds scope `S`.
pub(crate) struct Caller<S> {
    pub(crate) actor: Actor,
    pub(crate) request_id: String,
    scope: PhantomData<S>,
}

impl<S: Needs> FromRequestParts<Api> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let actor = api.tokens().admit(bearer(&parts.headers)?).await?;
        if !actor.scopes.has(S::SCOPE) {
            let detail = format!("this needs the scope {}; make a token that has it", S::SCOPE);
            return Err(Problem::new(Code::ScopeMissing, detail));
        }
        let request_id = parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.0.to_string());
        Ok(Self { actor, request_id, scope: PhantomData })
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Problem::new(Code::TokenMissing, "send an API token as Authorization: Bearer cst_…")
            .with_header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"countersign\""),
            ));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
    token.ok_or_else(|| {
        super::tokens::refused("the Authorization header must read Bearer, a space and the token")
    })
}
