//! The front page: what this is and where to go.

use super::html::frame;

pub(super) fn page() -> String {
    frame(
        "Countersign",
        "<h1>Countersign</h1>\
         <p>This is the API of a job queue: it takes work, commits it, and tells how it goes. \
         A <code>202</code> means that the job is in the database.</p>\
         <ul><li><a href=\"/docs\">Reference</a>: every route, its parameters and answers</li>\
         <li><a href=\"/openapi.json\">OpenAPI 3.1 document</a>, for clients and tools</li>\
         <li><a href=\"/docs/errors\">Errors</a>: what each code means and what to do</li>\
         <li><a href=\"/readyz\">Readiness</a> of this process</li></ul>\
         <h2>Try it</h2>\
         <pre><code>countersign token create --org acme --create-org --name try\n\
curl -i http://127.0.0.1:8080/v1/jobs \\\n  \
-H \"Authorization: Bearer $TOKEN\" -H \"Content-Type: application/json\" \\\n  \
-d '{\"kind\": \"system.echo\", \"payload\": {\"message\": \"hello\"}}'</code></pre>",
    )
}
