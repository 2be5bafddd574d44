//! `/docs/errors/{code}`: what a problem means and what to do. Markdown for programs, HTML for browsers.

use std::fmt::Write;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::html::{escape, frame};
use super::{markdown, page};
use crate::problem::{Code, Problem};

pub(super) async fn show(headers: HeaderMap, Path(code): Path<String>) -> Result<Response, Problem> {
    let browser = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    let Some(known) = Code::ALL.iter().find(|known| known.as_str() == code) else {
        return if browser {
            Ok((StatusCode::NOT_FOUND, page(unknown())).into_response())
        } else {
            Err(Problem::new(Code::NotFound, "there is no such error code; GET /docs/errors lists them all"))
        };
    };
    Ok(if browser {
        let body =
            format!("<p><a href=\"/docs/errors\">All errors</a></p>{}", markdown::render(known.page()));
        page(frame(known.as_str(), &body))
    } else {
        ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], known.page()).into_response()
    })
}

/// For browsers that ask for a code there isn't. The asked text is not repeated.
fn unknown() -> String {
    frame(
        "No such error code",
        "<p><a href=\"/docs/errors\">All errors</a></p><h1>No such error code</h1>\
         <p>There is no page for this code. It may be misspelt, or belong to another version of Countersign: \
         <a href=\"/docs/errors\">the list</a> holds all codes that this one answers with.</p>",
    )
}

pub(super) fn index() -> String {
    let mut rows = String::new();
    for code in Code::ALL {
        let name = code.as_str();
        let _ = write!(
            rows,
            "<tr><td><a href=\"/docs/errors/{name}\"><code>{name}</code></a></td><td class=\"short\">{}</td><td>{}</td></tr>",
            code.status().as_u16(),
            escape(code.title()),
        );
    }
    frame(
        "Errors",
        &format!(
            "<p><a href=\"/docs\">Reference</a></p><h1>Errors</h1>\
             <div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>Code</th><th class=\"short\">Status</th><th>Meaning</th></tr></thead><tbody>{rows}</tbody></table></div>"
        ),
    )
}
