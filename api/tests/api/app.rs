//! One API process for one test: its own database, a real listener, a client.

use std::sync::Arc;
use std::time::Duration;

use api::{Api, ApiConfig, ApiKeys};
use chrono::{DateTime, Utc};
use domain::{ActorId, Clock, OrgId, Permissions, SystemClock};
use jobs::Registry;
use queue::Queue;
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::{Actor, Store, Tx, orgs, tokens};
use testkit::{OwnServers, TestDb};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) struct App {
    pub(crate) db: TestDb,
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) api: Api,
    pub(crate) org: OrgId,
    /// A token of `org` that may do everything.
    pub(crate) token: String,
    base: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::configured(ApiConfig::default()).await
    }

    pub(crate) async fn configured(config: ApiConfig) -> Self {
        Self::clocked(config, Arc::new(SystemClock)).await
    }

    /// One whose time the test sets.
    pub(crate) async fn clocked(config: ApiConfig, clock: Arc<dyn Clock>) -> Self {
        Self::with(TestDb::new().await, config, clock).await
    }

    pub(crate) async fn on(servers: &OwnServers) -> Self {
        Self::with(TestDb::on(servers).await, ApiConfig::default(), Arc::new(SystemClock)).await
    }

    async fn with(db: TestDb, config: ApiConfig, clock: Arc<dyn Clock>) -> Self {
        let store = db.store();
        let queue = db.queue().await;
        let metrics = telemetry::install_recorder().unwrap();
        let registry = Arc::new(Registry::standard().unwrap());
        let api = Api::new(store.clone(), queue.clone(), registry, config, keys(), Some(metrics), clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(listener, api.clone(), stop.clone().cancelled_owned()));
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut app =
            Self { db, queue, store, api, org: OrgId::new(), token: String::new(), base, http, stop };
        let (org, token) = app.other_org("acme").await;
        (app.org, app.token) = (org, token);
        app
    }

    /// Another organisation with a token that may do everything there.
    pub(crate) async fn other_org(&self, slug: &str) -> (OrgId, String) {
        let org = orgs::create(&self.store, slug, slug).await.unwrap();
        (org.org_id, self.token_of(org.org_id, org.system_actor_id, Permissions::TOKEN, None).await)
    }

    /// A token of the app's organisation.
    pub(crate) async fn scoped(&self, scopes: &[&str]) -> String {
        self.token_of(self.org, ActorId::new(), Permissions::parse(scopes).unwrap(), None).await
    }

    pub(crate) async fn token_of(
        &self,
        org_id: OrgId,
        actor_id: ActorId,
        scopes: Permissions,
        expires_at: Option<DateTime<Utc>>,
    ) -> String {
        let actor = Actor::token(org_id, actor_id, Permissions::TOKEN);
        let mut tx = Tx::for_actor(&self.store, &actor).await.unwrap();
        let token = tokens::create(&mut tx, "test", scopes, expires_at).await.unwrap();
        tx.commit().await.unwrap();
        token.secret.expose_secret().to_owned()
    }

    /// A request with the app's token.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(self.ask(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.ask(Method::POST, path).json(body)).await
    }

    /// Enqueues a job; answers its id.
    pub(crate) async fn enqueue(&self, body: &Value) -> String {
        let reply = self.post("/v1/jobs", body).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        reply.body["job_id"].as_str().unwrap().to_owned()
    }

    /// An echo that nobody runs.
    pub(crate) async fn echo(&self) -> String {
        self.enqueue(&json!({ "kind": "system.echo", "payload": { "message": "hello" } })).await
    }
}

/// The API's own keys, of tests only.
pub(crate) fn auth_keys() -> vault::AuthKeys {
    vault::AuthKeys::from_lines("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "test").unwrap()
}

fn keys() -> ApiKeys {
    ApiKeys { auth: Some(Arc::new(auth_keys())), sealing: Some(Arc::new(crate::keys::sealing())) }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The body as JSON; null when it is none.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let reply = Self { status, headers, body, text };
        if status.is_client_error() || status.is_server_error() {
            reply.check_problem();
        }
        reply
    }

    /// Every error is problem details, with the request's id and a page.
    fn check_problem(&self) {
        if self.body["postgres"].is_string() {
            return;
        }
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let code = self.code();
        assert_eq!(self.body["type"], format!("/docs/errors/{code}"));
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(
            self.body["title"].is_string()
                && self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty())
        );
        assert!(code != "internal", "{self:?}");
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    /// Asserts a problem; answers the pointers of its fields.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str) -> Vec<&str> {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:?}");
        self.pointers()
    }

    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array();
        errors.into_iter().flatten().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    pub(crate) fn ids(&self, list: &str) -> Vec<&str> {
        self.body[list].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap()).collect()
    }
}
