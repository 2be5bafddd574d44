//! Everything that can go wrong for a caller, as RFC 9457 problem details: one code each, one status
//! each, one page each in `docs/errors`.
//!
//! This is the only file that chooses statuses for errors. What a server says about itself (SQL text, addresses)
//! never gets into an answer; it is logged once, at the edge, under the request's id.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use jobs::{FieldError, PrepareError};
use queue::{EnqueueError, OpsError, QueueError};
use schedules::ScheduleError;
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// The codes of all problems. Never renamed: clients decide by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as clients see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The status it is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// The short, unchanging summary.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// The Markdown text of its page.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../docs/errors/", $code, ".md")),)+
                }
            }
        }
    };
}

codes! {
    BadJson = "bad_json", BAD_REQUEST, "The body is not JSON";
    BadQuery = "bad_query", BAD_REQUEST, "A query parameter is not acceptable";
    BadPath = "bad_path", BAD_REQUEST, "An id in the path is malformed";
    BadCursor = "bad_cursor", BAD_REQUEST, "The cursor does not belong to this list";
    BadIdempotencyKey = "bad_idempotency_key", BAD_REQUEST, "The idempotency key is not acceptable";
    TokenMissing = "token_missing", UNAUTHORIZED, "No API token was sent";
    TokenRefused = "token_refused", UNAUTHORIZED, "The API token is not valid";
    ScopeMissing = "scope_missing", FORBIDDEN, "The API token may not do this";
    RoleInsufficient = "role_insufficient", FORBIDDEN, "The person's role may not do this";
    PersonRequired = "person_required", FORBIDDEN, "This is for signed-in people";
    StepUpRequired = "step_up_required", FORBIDDEN, "A fresh second factor is needed";
    CsrfRefused = "csrf_refused", FORBIDDEN, "The request did not come from our own pages";
    SignInRefused = "sign_in_refused", UNAUTHORIZED, "Sign-in was refused";
    SecondFactorRequired = "second_factor_required", UNAUTHORIZED, "A second factor is needed";
    SessionEnded = "session_ended", UNAUTHORIZED, "The session is over";
    CodeRefused = "code_refused", FORBIDDEN, "The code is not right";
    OidcNotConfigured = "oidc_not_configured", NOT_FOUND, "Nobody signs in through an identity provider here";
    OidcRefused = "oidc_refused", FORBIDDEN, "Signing in through the identity provider was refused";
    LinkRefused = "link_refused", GONE, "The link works no longer";
    HookRefused = "hook_refused", UNAUTHORIZED, "The webhook was not accepted";
    NotFound = "not_found", NOT_FOUND, "There is no such thing here";
    NoSuchRoute = "no_such_route", NOT_FOUND, "There is no such route";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The route does not take this method";
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    Conflict = "conflict", CONFLICT, "The thing is not in a state for this";
    IdempotencyKeyReused = "idempotency_key_reused", CONFLICT, "The idempotency key was used for something else";
    ConfirmationRequired = "confirmation_required", CONFLICT, "This reaches people outside and needs a confirmation";
    ApprovalRequired = "approval_required", CONFLICT, "This needs an approval";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The payload is too large";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The request body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    InvalidRequest = "invalid_request", UNPROCESSABLE_ENTITY, "A field of the request is not acceptable";
    InvalidPayload = "invalid_payload", UNPROCESSABLE_ENTITY, "The payload does not fit its kind";
    UnknownKind = "unknown_kind", UNPROCESSABLE_ENTITY, "There is no such job kind";
    UnknownVersion = "unknown_version", UNPROCESSABLE_ENTITY, "The kind does not take this payload version";
    SearchTooSlow = "search_too_slow", UNPROCESSABLE_ENTITY, "The search took too long";
    SignInSlowed = "sign_in_slowed", TOO_MANY_REQUESTS, "Too many tries";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    TooManyStreams = "too_many_streams", TOO_MANY_REQUESTS, "Too many open event streams";
    KeysMissing = "keys_missing", SERVICE_UNAVAILABLE, "There are no keys to seal secrets with";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something broke on our side";
    DatabaseAway = "database_away", SERVICE_UNAVAILABLE, "PostgreSQL is not available";
    RedisAway = "redis_away", SERVICE_UNAVAILABLE, "Redis is not available";
    OidcAway = "oidc_away", SERVICE_UNAVAILABLE, "The identity provider does not answer";
    SignInNotSetUp = "sign_in_not_set_up", SERVICE_UNAVAILABLE, "Sign-in is not set up";
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE, "This process is shutting down";
}

/// A cause kept for the log.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// An answer that says what went wrong and what to do.
#[derive(Clone)]
pub struct Problem(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Cause>,
}

/// A problem as clients see it (RFC 9457, `application/problem+json`).
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemDetails)]
pub struct ProblemBody<'a> {
    /// Where the page about this code is.
    #[serde(rename = "type")]
    #[schema(rename = "type", example = "/docs/errors/not_found")]
    kind: String,
    /// The code's short summary; the same for every occurrence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time, and what to do.
    detail: &'a str,
    /// Stable code to decide by.
    #[schema(example = "not_found")]
    code: &'static str,
    /// The request's id; quote it when asking for help.
    request_id: &'a str,
    /// Which fields are wrong; only where fields are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with a sentence about this occurrence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// One field that is not acceptable.
    pub fn field(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.into(), message: message.into() };
        let detail = format!("{} {}", error.pointer, error.message);
        Self::new(Code::InvalidRequest, detail.trim_start().to_owned()).with_errors(vec![error])
    }

    /// Something broke that the caller can't mend; the cause goes to the log only.
    pub fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(
            Code::Internal,
            "the request was not carried out; it was logged under its request_id, and trying again later may help",
        )
        .with_cause(cause)
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The sentence about this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The fields that are wrong.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The same problem about a part of the request: field pointers are moved below `prefix`.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        for error in &mut self.0.errors {
            error.pointer.insert_str(0, prefix);
        }
        self
    }

    /// The chain of causes, for the log.
    pub(crate) fn cause_chain(&self) -> Option<String> {
        let mut chain = String::new();
        let mut next: Option<&dyn std::error::Error> = self.0.cause.as_deref().map(|cause| cause as _);
        while let Some(error) = next {
            if !chain.is_empty() {
                chain.push_str(": ");
            }
            chain.push_str(&error.to_string());
            next = error.source();
        }
        (!chain.is_empty()).then_some(chain)
    }

    /// The JSON text for a request.
    pub(crate) fn json(&self, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("/docs/errors/{}", self.0.code.as_str()),
            title: self.0.code.title(),
            status: self.0.code.status().as_u16(),
            detail: &self.0.detail,
            code: self.0.code.as_str(),
            request_id,
            errors: &self.0.errors,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}", self.0.code.as_str(), self.0.detail, self.0.errors)
    }
}

impl IntoResponse for Problem {
    /// Status and headers; the body is written at the edge, where the request's id is known.
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        let headers = response.headers_mut();
        for (name, value) in &self.0.headers {
            headers.insert(name, value.clone());
        }
        if let Some(wait) = self.0.retry_after {
            // Rounded up: coming back a little later is right, a little earlier is not.
            let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// How soon to come back when a server is away.
const AWAY_RETRY: Duration = Duration::from_secs(5);

fn database_away(cause: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::new(
        Code::DatabaseAway,
        "nothing can be promised while PostgreSQL is away; repeat the request in a few seconds, with the same Idempotency-Key if it enqueues",
    )
    .retry_after(AWAY_RETRY)
    .with_cause(cause)
}

pub(crate) fn redis_away(cause: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::new(
        Code::RedisAway,
        "this needs Redis, which is away; enqueueing and reading still work, repeat this in a few seconds",
    )
    .retry_after(AWAY_RETRY)
    .with_cause(cause)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away(cause) => database_away(cause),
            StoreError::NotFound(what) => not_found(what),
            StoreError::Conflict(sentence) => Self::new(Code::Conflict, sentence),
            StoreError::Invalid { field, problem } => Self::field(format!("/{field}"), problem),
            StoreError::BadCursor => Self::new(Code::BadCursor, StoreError::BadCursor.to_string()),
            StoreError::TooSlow => Self::new(Code::SearchTooSlow, StoreError::TooSlow.to_string()),
            StoreError::Refused(sentence) => Self::new(Code::Conflict, sentence),
            StoreError::Unrecorded => Self::internal(StoreError::Unrecorded),
            StoreError::Database(cause) => Self::internal(cause),
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::DatabaseAway(cause) => database_away(cause),
            QueueError::Database(cause) => Self::internal(cause),
            QueueError::DispatchAway(cause) => redis_away(cause),
            QueueError::Closed => {
                Self::new(Code::ShuttingDown, "repeat the request; another process will take it")
                    .retry_after(Duration::from_secs(1))
            }
        }
    }
}

impl From<EnqueueError> for Problem {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::KeyReused { .. } => Self::new(Code::IdempotencyKeyReused, error.to_string()),
            EnqueueError::PayloadTooLarge { .. } => Self::new(Code::PayloadTooLarge, error.to_string()),
            EnqueueError::Invalid { field: "idempotency_key", problem } => {
                Self::new(Code::BadIdempotencyKey, format!("the idempotency key {problem}"))
            }
            EnqueueError::Invalid { field, problem } => Self::field(format!("/{field}"), problem),
            EnqueueError::NeedsApproval(sentence) => Self::new(Code::ApprovalRequired, sentence),
            EnqueueError::Queue(error) => error.into(),
        }
    }
}

impl From<PrepareError> for Problem {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::UnknownKind { .. } => {
                let error = FieldError { pointer: "/kind".into(), message: error.to_string() };
                Self::new(Code::UnknownKind, error.message.clone()).with_errors(vec![error])
            }
            PrepareError::NotOnRequest { .. } => Self::field("/kind", error.to_string()),
            PrepareError::UnknownVersion { .. } => {
                let error = FieldError { pointer: "/version".into(), message: error.to_string() };
                Self::new(Code::UnknownVersion, error.message.clone()).with_errors(vec![error])
            }
            PrepareError::TooLarge { .. } => Self::new(Code::PayloadTooLarge, error.to_string()),
            PrepareError::Invalid { kind, version, errors } => {
                let detail = format!(
                    "the payload does not fit {kind}@{version}: see errors; GET /v1/kinds shows its schema"
                );
                Self::new(Code::InvalidPayload, detail).with_errors(errors).below("/payload")
            }
            PrepareError::Unwritable { source, .. } => Self::internal(source),
        }
    }
}

impl From<OpsError> for Problem {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::NotFound(what) => not_found(what),
            OpsError::Conflict(sentence) => Self::new(Code::Conflict, sentence),
            OpsError::NeedsMore(sentence) => Self::new(Code::ConfirmationRequired, sentence),
            OpsError::Invalid { field, problem } => Self::field(format!("/{field}"), problem),
            OpsError::Queue(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::NotFound => not_found("schedule"),
            ScheduleError::NameTaken(_) | ScheduleError::TooMany { .. } => {
                Self::new(Code::Conflict, error.to_string())
            }
            ScheduleError::Invalid(fields) => {
                let errors: Vec<FieldError> = fields
                    .into_iter()
                    .map(|wrong| FieldError { pointer: format!("/{}", wrong.field), message: wrong.problem })
                    .collect();
                let told: Vec<String> =
                    errors.iter().map(|error| format!("{} {}", error.pointer, error.message)).collect();
                Self::new(Code::InvalidRequest, told.join("; ")).with_errors(errors)
            }
            ScheduleError::Payload(error) => error.into(),
            ScheduleError::Enqueue(error) => error.into(),
            ScheduleError::Queue(error) => error.into(),
        }
    }
}

/// The answer for what is not there, or is another organisation's.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no such {what} in this organisation"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_belongs_to_a_code_and_says_what_to_do() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{}.md", code.as_str())).collect();
        assert_eq!(pages, codes);
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {}\n", code.as_str())), "{code:?}");
            assert!(page.contains(&code.status().as_u16().to_string()), "{code:?} names its status");
            assert!(page.contains(code.title()), "{code:?} holds its title");
            for heading in ["## What happened", "## What to do"] {
                assert!(page.contains(heading), "{code:?} lacks “{heading}”");
            }
        }
    }

    #[test]
    fn no_problem_tells_what_the_database_said() {
        let away =
            Problem::from(StoreError::Away(sqlx::Error::Protocol("password of db at 10.0.0.1".into())));
        let text = String::from_utf8(away.json("r1")).unwrap();
        assert!(!text.contains("10.0.0.1"), "{text}");
        assert!(away.cause_chain().unwrap().contains("10.0.0.1"));
        assert_eq!(away.clone().into_response().headers()[header::RETRY_AFTER], "5");
        assert_eq!(away.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn pointers_move_below_their_part_of_the_request() {
        let problem = Problem::field("/url", "must be there").below("/payload").below("/jobs/3");
        assert_eq!(problem.errors()[0].pointer, "/jobs/3/payload/url");
    }

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let problem = Problem::new(Code::RateLimited, "x").retry_after(Duration::from_millis(millis));
            assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], seconds);
        }
    }
}
