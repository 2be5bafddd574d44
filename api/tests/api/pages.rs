//! Pages for people and documents for programs.

use reqwest::Method;
use serde_json::Value;

use crate::app::{App, Reply};

#[tokio::test]
async fn pages_and_documents_are_served_without_a_token() {
    let app = App::start().await;
    let get = |path: &'static str| Reply::of(app.anonymous(Method::GET, path));
    for path in ["/", "/docs", "/docs/errors"] {
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
