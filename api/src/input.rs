//! Taking requests apart. Every refusal is a problem that names the place and says what is allowed.

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};
use crate::state::Api;

/// Largest body of an ordinary request: a full payload and what is around it.
pub(crate) const SMALL_BODY: usize = 300 * 1024;

/// Largest body of a batch.
pub(crate) const LARGE_BODY: usize = 64 * 1024 * 1024;

/// A JSON body of at most `LIMIT` bytes.
pub(crate) struct Json<T, const LIMIT: usize = SMALL_BODY>(pub(crate) T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<Api> for Json<T, LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let bytes = read(request, api, LIMIT).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body, or nothing at all (or null), which means the default.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Api> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let content_type = check_content_type(request.headers());
        let bytes = read(request, api, SMALL_BODY).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        content_type?;
        parse::<Option<T>>(&bytes).map(|body| Self(body.unwrap_or_default()))
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let sent = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    // The exact word first: nearly every request carries it.
    if sent == Some(b"application/json") {
        return Ok(());
    }
    let essence = sent
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json") => Ok(()),
        Some(kind) if kind.starts_with("application/") && kind.ends_with("+json") => Ok(()),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "send the body as JSON with the header Content-Type: application/json",
        )),
    }
}

pub(crate) async fn read(request: Request, api: &Api, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            Code::BodyTooLarge,
            format!("the body may have at most {limit} bytes; split it or send references"),
        )
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(too_large());
    }
    let collected = Limited::<Body>::new(request.into_body(), limit).collect();
    match tokio::time::timeout(api.config().body_timeout, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::BadJson, "the body broke off before its end; send it again")),
        Err(_) => Err(Problem::new(
            Code::BodyTimeout,
            format!(
                "the body did not arrive within {} s; send it again",
                api.config().body_timeout.as_secs()
            ),
        )),
    }
}

/// Reads JSON; the slow way, which knows the place of an error, only when the fast one fails.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Fields are named: a list in their order, which the parser would take, is nobody's request.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Problem::field("", "must be an object, not a list"));
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        // Valid up to its end, so something follows that end.
        Ok(_) => {
            return Err(Problem::new(
                Code::BadJson,
                "something follows the end of the JSON value; send one value",
            ));
        }
        Err(error) => error,
    };
    let pointer = pointer(error.path());
    let error = error.into_inner();
    if !error.is_data() {
        return Err(Problem::new(Code::BadJson, format!("the body is not valid JSON: {error}")));
    }
    // The place in the text says nothing that the pointer does not say better.
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    Err(Problem::field(pointer, message))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                let key: String = key.chars().take(100).collect();
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
            }
            Segment::Enum { .. } => {}
            Segment::Unknown => break,
        }
    }
    pointer
}

/// The query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, api).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => {
                let text = error.body_text();
                let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::new(Code::BadQuery, reason.to_owned()))
            }
            Err(_) => Err(Problem::new(Code::BadQuery, "the query string can't be read")),
        }
    }
}

/// What stands in the path's braces.
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, api).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                let text = error.body_text();
                let reason = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
                Err(Problem::new(Code::BadPath, format!("the path can't be read: {reason}")))
            }
            Err(_) => Err(Problem::new(Code::BadPath, "the path can't be read")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[allow(dead_code)]
        n: u8,
    }

    #[test]
    fn errors_name_the_place() {
        let table = [
            (r#"{"items":["#, Code::BadJson, None),
            ("", Code::BadJson, None),
            ("\u{1}", Code::BadJson, None),
            (r#"{"items":[]} x"#, Code::BadJson, None),
            (r#"{"items":[{"n":1},{"n":"x"}]}"#, Code::InvalidRequest, Some("/items/1/n")),
            (r#"{"items":[{"n":300}]}"#, Code::InvalidRequest, Some("/items/0/n")),
            (r#"{"items":[{}]}"#, Code::InvalidRequest, Some("/items/0")),
            (r#"{"itmes":[]}"#, Code::InvalidRequest, Some("/itmes")),
            ("[]", Code::InvalidRequest, Some("")),
        ];
        for (text, code, pointer) in table {
            let problem = parse::<Sample>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.code(), code, "{text}: {problem:?}");
            assert_eq!(
                problem.errors().first().map(|error| error.pointer.as_str()),
                pointer,
                "{text}: {problem:?}"
            );
        }
    }

    #[test]
    fn only_json_is_json() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            check_content_type(&headers).is_ok()
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"] {
            assert!(of(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "json", "", "text/json+x"] {
            assert!(!of(bad), "{bad}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
