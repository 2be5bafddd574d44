//! The OpenAPI 3.1 document: generated from the routes, never written by hand.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
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
        (name = "jobs", description = "Enqueue jobs and see how they go."),
        (name = "dead letters", description = "Jobs that gave up: see why, replay or set aside."),
        (name = "lanes", description = "Where jobs wait: pause, resume, drain your organisation's share."),
        (name = "limits", description = "Rates that all workers share."),
        (name = "schedules", description = "Jobs that come back by the calendar."),
        (name = "fleet", description = "Kinds of jobs, and the workers that run them."),
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
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
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
    Reads: BadQuery BadCursor BadPath TokenMissing TokenRefused ScopeMissing InvalidRequest SearchTooSlow
        RateLimited Internal DatabaseAway;
    /// The same for one thing.
    ReadsOne: BadQuery BadPath TokenMissing TokenRefused ScopeMissing NotFound InvalidRequest SearchTooSlow
        RateLimited Internal DatabaseAway;
    /// A route behind a token that takes a body and makes something.
    Takes: BadJson BadIdempotencyKey TokenMissing TokenRefused ScopeMissing BodyTimeout Conflict IdempotencyKeyReused
        PayloadTooLarge BodyTooLarge UnsupportedMediaType InvalidRequest InvalidPayload UnknownKind UnknownVersion
        RateLimited Internal DatabaseAway ShuttingDown;
    /// A route behind a token that changes one thing.
    Changes: BadJson BadPath TokenMissing TokenRefused ScopeMissing NotFound BodyTimeout Conflict
        ConfirmationRequired ApprovalRequired PayloadTooLarge BodyTooLarge UnsupportedMediaType InvalidRequest
        InvalidPayload UnknownKind UnknownVersion SearchTooSlow RateLimited Internal DatabaseAway ShuttingDown;
    /// The event stream.
    Streams: TokenMissing TokenRefused ScopeMissing RateLimited TooManyStreams Internal DatabaseAway RedisAway;
    /// A read that needs Redis.
    ReadsRedis: BadQuery TokenMissing TokenRefused ScopeMissing InvalidRequest RateLimited Internal DatabaseAway
        RedisAway;
    /// A public page.
    Public: Internal;
}
