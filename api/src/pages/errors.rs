//! `/docs/errors/{code}`: what a problem means and what to do. Markdown for programs, HTML for browsers.

use std::fmt::Write;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

use super::html::{escape, frame};
use super::{markdown, page};
use crate::problem::{Code, Problem};

pub(super) async fn show(headers: HeaderMap, Path(code): Path<String>) -> Result<Response, Problem> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    let known = known.ok_or_else(|| {
        Problem::new(Code::NotFound, "there is no such error code; GET /docs/errors lists them all")
    })?;
    let browser = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    Ok(if browser {
        let body =
            format!("<p><a href=\"/docs/errors\">All errors</a></p>{}", markdown::render(known.page()));
        page(frame(known.as_str(), &body))
    } else {
        ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], known.page()).into_response()
    })
}

pub(super) fn index() -> String {
    let mut rows = String::new();
    for code in Code::ALL {
        let name = code.as_str();
        let _ = write!(
            rows,
            "<tr><td><a href=\"/docs/errors/{name}\"><code>{name}</code></a></td><td>{}</td><td>{}</td></tr>",
            code.status().as_u16(),
            escape(code.title()),
        );
    }
    frame(
        "Errors",
        &format!(
            "<p><a href=\"/docs\">Reference</a></p><h1>Errors</h1>\
             <table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th></tr></thead><tbody>{rows}</tbody></table>"
        ),
    )
}
