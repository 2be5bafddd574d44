//! What happens to every request at the very edge: an id, a span, figures, a net under panics, and the
//! body of problems.
//!
//! One layer does all of it, because each further layer costs every request.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use telemetry::metric;
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// Carries the request's id in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id taken from a caller.
const MAX_REQUEST_ID: usize = 128;

/// The id of the request being answered.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

pub(crate) async fn edge(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId(request_id(request.headers()));
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    // An error's line must name its request at any level of logging.
    let span = tracing::error_span!("http", method, route, request_id = %id.0);
    request.extensions_mut().insert(id.clone());

    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|panic| broken(&*panic).into_response());

    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let _entered = span.enter();
        response = write_problem(response, &id.0);
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    record(route, method, response.status(), started);
    response
}

fn record(route: &str, method: &'static str, status: StatusCode, started: Instant) {
    let route = metrics::SharedString::from(route.to_owned());
    metrics::counter!(
        metric::HTTP_REQUESTS_TOTAL,
        "route" => route.clone(), "method" => method, "status" => status.as_str().to_owned()
    )
    .increment(1);
    metrics::histogram!(metric::HTTP_REQUEST_SECONDS, "route" => route, "method" => method)
        .record(started.elapsed().as_secs_f64());
}

/// A bounded set of labels: strangers may send any word as a method.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The caller's id when it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let sane = |text: &str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
    };
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| sane(text)) {
        Some(text) => text.into(),
        None => {
            let mut buffer = Uuid::encode_buffer();
            (&*Uuid::now_v7().simple().encode_lower(&mut buffer)).into()
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
struct Panicked(String);

fn broken(panic: &(dyn Any + Send)) -> Problem {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    Problem::internal(Panicked(text))
}

/// Puts the problem's JSON into the answer and the server's own failures into the log.
fn write_problem(mut response: Response, request_id: &str) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        // Some answers with an error status carry a body of their own (readiness).
        None if response.headers().contains_key(header::CONTENT_TYPE) => return response,
        None => Problem::new(plain(response.status()), "the request was refused before it was looked at"),
    };
    let cause = problem.cause_chain();
    match problem.code() {
        Code::Internal => {
            tracing::error!(cause, "request failed");
        }
        code if code.status().is_server_error() => {
            tracing::warn!(code = code.as_str(), cause, "request refused");
        }
        code => tracing::debug!(code = code.as_str(), detail = problem.detail(), "request refused"),
    }
    *response.status_mut() = problem.code().status();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    *response.body_mut() = axum::body::Body::from(problem.json(request_id));
    response
}

/// The code for an error that only has a status.
fn plain(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NoSuchRoute,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => Code::BodyTimeout,
        status if status.is_client_error() => Code::InvalidRequest,
        _ => Code::Internal,
    }
}

/// The answer for paths that nobody serves.
pub(crate) async fn no_such_route(uri: http::Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Code::NoSuchRoute, format!("nothing is served at {path}; GET /docs lists what is"))
}

/// The answer for a method a path does not take.
pub(crate) async fn method_not_allowed(method: Method) -> Problem {
    let method: String = method.as_str().chars().take(30).collect();
    Problem::new(
        Code::MethodNotAllowed,
        format!("this route does not take {method}; the Allow header lists what it takes"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            request_id(&headers)
        };
        assert_eq!(&*of("web-1:42.a_b"), "web-1:42.a_b");
        for odd in ["", "a b", "ü", "x\"y", &"x".repeat(129)] {
            assert_eq!(of(odd).len(), 32, "{odd}");
        }
    }
}
