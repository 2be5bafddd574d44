//! The front page: what this is and where to go.

use super::html::{escape, frame};

/// A first job with the demo's token, as `countersign dev` prints it.
const TRY: &str = "\
curl -i http://127.0.0.1:8080/v1/jobs -H \"Authorization: Bearer $(cat .countersign/demo-token)\" \\
  -H 'Content-Type: application/json' -d '{\"kind\":\"system.echo\",\"payload\":{\"message\":\"hello\"}}'";

/// Where to go on from there.
const LOOK: &str = "\
./target/debug/countersign jobs list
./target/debug/countersign jobs watch
./target/debug/countersign lanes
./target/debug/countersign workers";

pub(super) fn page() -> String {
    let (first, look) = (escape(TRY), escape(LOOK));
    frame(
        "Countersign",
        &format!(
            "<h1>Countersign</h1>\
             <p>This is the API of a job queue: it takes work, commits it, and tells how it goes. \
             A <code>202</code> means that the job is in the database.</p>\
             <ul><li><a href=\"/docs\">Reference</a>: every route, its parameters and answers</li>\
             <li><a href=\"/openapi.json\">OpenAPI 3.1 document</a>, for clients and tools</li>\
             <li><a href=\"/docs/errors\">Errors</a>: what each code means and what to do</li>\
             <li><a href=\"/readyz\">Readiness</a> of this process</li></ul>\
             <h2>Try it</h2>\
             <p>Beside a running <code>make up</code>, in its folder, and with this page's address if it is \
             another one:</p><pre><code>{first}</code></pre>\
             <p>Look further:</p><pre><code>{look}</code></pre>\
             <p>Elsewhere the token comes from <code>countersign token create --org acme --create-org</code>.</p>"
        ),
    )
}
