//! The OpenAPI 3.1 document: generated from the routes, never written by hand.

use std::collections::BTreeMap;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::problem::{Code, ProblemBody};

/// The document's head; the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign",
        description = "Enqueue work, see how it goes, and operate the queue. A 202 means that the job is committed.\n\nEvery error is `application/problem+json` (RFC 9457) with a `code` that has a page at `/docs/errors/{code}`. Lists run from new to old and go on with `cursor`; a page may be shorter than asked for while there are more.",
    ),
    components(schemas(ProblemBody, jobs::FieldError)),
    modifiers(&Token),
    tags(
        (name = "sign-in", description = "Getting in and out."),
        (name = "me", description = "Whoever is signed in: their account, second factor and sessions."),
        (name = "people", description = "Who belongs to the organisation: people, invitations, workspaces, API tokens."),
        (name = "jobs", description = "Enqueue jobs and see how they go."),
        (name = "dead letters", description = "Jobs that gave up: see why, replay or set aside."),
        (name = "lanes", description = "Where jobs wait: pause, resume, drain your organisation's share."),
        (name = "limits", description = "Rates that all workers share."),
        (name = "schedules", description = "Jobs that come back by the calendar."),
        (name = "audit", description = "Who changed what, when and from where; and the proof that it was not altered."),
        (name = "approvals", description = "What must be countersigned before it happens."),
        (name = "fleet", description = "Kinds of jobs, and the workers that run them."),
        (name = "secrets", description = "Credentials of outside systems: they go in sealed and never come out."),
        (name = "inbound webhooks", description = "Where providers' webhooks arrive, and what arrived."),
        (name = "process", description = "Health, figures and documents of this process; no token needed."),
    )
)]
pub(crate) struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("cst_…")
            .description(Some("An API token, made with `countersign token create`."))
            .build();
        let session = ApiKeyValue::with_description(
            "__Host-countersign",
            "The cookie of a signed-in person. Changes also need the header `X-CSRF-Token`.",
        );
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// Describes the problems of some codes, one response a status.
fn problems(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<&Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16().to_string()).or_default().push(code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| {
            let described: Vec<String> =
                codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDetails"))).build();
            let response = ResponseBuilder::new()
                .description(described.join(". "))
                .content("application/problem+json", content)
                .build();
            (status, RefOr::T(response))
        })
        .collect()
}

macro_rules! problem_sets {
    ($($(#[$doc:meta])* $name:ident: $($code:ident)+;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    problems(&[$(Code::$code),+])
                }
            }
        )+
    };
}

problem_sets! {
    /// A route behind a token that reads.
    Reads: BadQuery BadCursor BadPath TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused InvalidRequest SearchTooSlow
        RateLimited Internal DatabaseAway;
    /// The same for one thing.
    ReadsOne: BadQuery BadPath TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused NotFound InvalidRequest SearchTooSlow
        RateLimited Internal DatabaseAway;
    /// A route behind a token that takes a body and makes something.
    Takes: BadJson BadIdempotencyKey TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused BodyTimeout Conflict IdempotencyKeyReused
        ApprovalRequired PayloadTooLarge BodyTooLarge UnsupportedMediaType InvalidRequest InvalidPayload UnknownKind UnknownVersion
        RateLimited Internal DatabaseAway ShuttingDown;
    /// A route behind a token that changes one thing.
    Changes: BadJson BadPath TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused NotFound BodyTimeout Conflict
        ConfirmationRequired ApprovalRequired PayloadTooLarge BodyTooLarge UnsupportedMediaType InvalidRequest
        InvalidPayload UnknownKind UnknownVersion SearchTooSlow RateLimited Internal DatabaseAway ShuttingDown;
    /// A decision on an approval.
    Decides: BadJson BadPath TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient StepUpRequired CsrfRefused NotFound
        BodyTimeout Conflict ApprovalRequired PayloadTooLarge BodyTooLarge UnsupportedMediaType InvalidRequest RateLimited
        IdempotencyKeyReused Internal DatabaseAway ShuttingDown;
    /// The same where something is sealed.
    Seals: BadJson BadPath TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused NotFound BodyTimeout
        Conflict BodyTooLarge UnsupportedMediaType InvalidRequest RateLimited Internal DatabaseAway KeysMissing
        ShuttingDown;
    /// Where providers' webhooks arrive.
    TakesHooks: HookRefused BadPath BodyTimeout BodyTooLarge RateLimited Internal DatabaseAway KeysMissing ShuttingDown;
    /// The event stream.
    Streams: TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused RateLimited TooManyStreams Internal DatabaseAway RedisAway;
    /// A read that needs Redis.
    ReadsRedis: BadQuery TokenMissing TokenRefused SessionEnded ScopeMissing RoleInsufficient CsrfRefused InvalidRequest RateLimited Internal DatabaseAway
        RedisAway;
    /// A signed-in person's own things.
    Mine: BadJson BadPath TokenMissing TokenRefused SessionEnded PersonRequired CsrfRefused CodeRefused NotFound
        BodyTimeout Conflict BodyTooLarge UnsupportedMediaType InvalidRequest RateLimited SignInSlowed Internal
        DatabaseAway SignInNotSetUp;
    /// The door, for people who are not in yet.
    Door: BadJson SignInRefused SecondFactorRequired CsrfRefused BodyTimeout LinkRefused BodyTooLarge
        UnsupportedMediaType InvalidRequest SignInSlowed Internal DatabaseAway SignInNotSetUp;
    /// The way to an identity provider and back.
    Elsewhere: BadQuery CsrfRefused OidcNotConfigured OidcRefused OidcAway InvalidRequest SignInSlowed Internal
        DatabaseAway SignInNotSetUp;
    /// A public page.
    Public: Internal;
}
