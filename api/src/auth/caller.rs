//! The caller, as an extractor that states what they must be allowed.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use domain::Permission;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use store::{Actor, Origin};

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
    permission: PhantomData<P>,
}

impl<P: Needs> FromRequestParts<Api> for Caller<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let actor = api.tokens().admit(bearer(&parts.headers)?).await?;
        if !actor.permissions.has(P::PERMISSION) {
            let detail = format!("this needs the scope {}; make a token that has it", P::PERMISSION);
            return Err(Problem::new(Code::ScopeMissing, detail));
        }
        let request_id = parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.0.to_string());
        let origin = Origin { request_id: Some(request_id.as_str().into()), address: None };
        Ok(Self { actor: actor.from(origin), request_id, permission: PhantomData })
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
