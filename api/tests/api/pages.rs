//! Pages for people and documents for programs.

use reqwest::Method;
use serde_json::Value;

use crate::app::{App, Reply};

#[tokio::test]
async fn pages_and_documents_are_served_without_a_token() {
    let app = App::start().await;
    let get = |path: &'static str| Reply::of(app.anonymous(Method::GET, path));
    for path in ["/", "/docs", "/docs/", "/docs/errors", "/docs/errors/"] {
        let page = get(path).await;
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
        assert!(page.text.ends_with("</html>\n"));
    }
    let reference = get("/docs").await.text;
    let document = get("/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    assert_eq!(document.text, api::openapi());
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(reference.contains(&format!("<code>{path}</code>")), "{path} is not in the reference");
    }
    assert_eq!(get("/healthz").await.text, "ok\n");
    let metrics = get("/metrics").await.text;
    assert!(metrics.contains("countersign_http_requests_total{route=\"/healthz\""), "{metrics}");
    let odd = Reply::of(app.anonymous("BREW".parse().unwrap(), "/")).await;
    odd.is(405, "method_not_allowed");
}

#[tokio::test]
async fn every_error_page_is_served_in_both_forms() {
    let app = App::start().await;
    for code in api::problem::Code::ALL {
        let path = format!("/docs/errors/{}", code.as_str());
        let plain = Reply::of(app.anonymous(Method::GET, &path)).await;
        assert!(plain.header("content-type").starts_with("text/markdown"));
        assert_eq!(plain.text, code.page());
        let page = Reply::of(app.anonymous(Method::GET, &path).header("accept", "text/html,*/*;q=0.8")).await;
        assert!(page.text.contains("<h2>What to do</h2>"), "{path}");
    }
    Reply::of(app.anonymous(Method::GET, "/docs/errors/none")).await.is(404, "not_found");
}

#[tokio::test]
async fn an_unknown_error_page_is_a_page_for_browsers() {
    let app = App::start().await;
    let ask = app.anonymous(Method::GET, "/docs/errors/none").header("accept", "text/html,*/*;q=0.8");
    // Not through `Reply`, which holds every refusal to be a problem: this one is for people.
    let page = ask.send().await.unwrap();
    assert_eq!(page.status().as_u16(), 404);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-type").starts_with("text/html"));
    assert!(header("content-security-policy").contains("default-src 'none'"));
    let text = page.text().await.unwrap();
    assert!(text.contains("href=\"/docs/errors\""), "{text}");
}

#[tokio::test]
async fn the_reference_begins_with_contents_and_enqueueing() {
    let app = App::start().await;
    let text = Reply::of(app.anonymous(Method::GET, "/docs")).await.text;
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("no {needle} in the reference"));
    let order = [
        at("<h2 id=\"first\">"),
        at("<h2 id=\"contents\">"),
        at("<h2 id=\"jobs\">"),
        at("<h3 id=\"enqueueJob\">"),
        at("<h3 id=\"listJobs\">"),
        at("<h3 id=\"showBatch\">"),
        at("<h2 id=\"dead-letters\">"),
        at("<h2 id=\"schemas\">"),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let Some(id) = operation["operationId"].as_str() else { continue };
            assert!(text.contains(&format!("<a href=\"#{id}\"")), "{id} is not in the contents");
            assert!(text.contains(&format!("<h3 id=\"{id}\">")), "{id} has no section");
        }
    }
    assert!(
        text.contains("<a href=\"/docs/errors/idempotency_key_reused\"><code>"),
        "codes lead to their pages"
    );
}
