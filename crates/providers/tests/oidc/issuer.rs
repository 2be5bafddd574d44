//! A hand-made provider that answers whatever a test tells it to, and counts what it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use domain::oidc::{CodeExchange, Identity, IdentityProvider as _, OidcFault};
use providers::oidc::OidcClient;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::config;
use crate::signer::Signer;

pub(crate) const ACCESS_TOKEN: &str = "planted-access-token";
pub(crate) const CODE: &str = "planted-code";
pub(crate) const SECRET: &str = "planted secret/+%";
pub(crate) const VERIFIER: &str = "planted-verifier";
pub(crate) const NONCE: &str = "nonce-1";
pub(crate) const CLIENT: &str = "counter sign";

/// What one path answers.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) location: Option<String>,
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self { status: 200, body: body.to_string().into_bytes(), location: None }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, body: Vec::new(), location: None }
    }
}

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

#[derive(Default)]
struct Script {
    replies: BTreeMap<String, Reply>,
    asked: Vec<Asked>,
}

/// The provider; stops with the test's runtime.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) signer: Signer,
    script: Arc<Mutex<Script>>,
}

impl Issuer {
    /// A provider whose documents are in order.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let issuer = Self { url, signer: Signer::new("k-1"), script };
        issuer.set("/.well-known/openid-configuration", Reply::json(&issuer.document()));
        issuer.set("/jwks", Reply::json(&issuer.signer.jwks()));
        issuer
    }

    pub(crate) fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"), "userinfo_endpoint": at("/me"),
        })
    }

    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.script.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// Makes the token endpoint give this ID token.
    pub(crate) fn give(&self, id_token: &str) {
        let tokens = json!({"access_token": ACCESS_TOKEN, "token_type": "Bearer", "id_token": id_token});
        self.set("/token", Reply::json(&tokens));
    }

    /// Claims that are in order, for now.
    pub(crate) fn claims(&self) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({
            "iss": self.url, "sub": "u-1", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": NONCE,
            "email": "ana@example.com", "email_verified": true,
        })
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        self.script.lock().unwrap().asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }

    pub(crate) fn client(&self) -> OidcClient {
        OidcClient::new(config(&self.url, CLIENT, SECRET)).unwrap()
    }
}

/// Trades the planted code. No answer may ever repeat what must stay secret.
pub(crate) async fn exchange(client: &OidcClient) -> Result<Identity, OidcFault> {
    let exchange = CodeExchange {
        code: CODE.into(),
        redirect_uri: crate::REDIRECT_URI.parse().unwrap(),
        pkce_verifier: VERIFIER.into(),
        nonce: NONCE.into(),
    };
    let outcome = client.exchange(&exchange).await;
    let shown = format!("{outcome:?} {client:?} {exchange:?}");
    assert!(!shown.contains("planted") && !shown.contains("eyJ"), "{shown}");
    outcome
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    let reply = {
        let mut script = script.lock().unwrap();
        let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(body.to_vec()).unwrap();
        script.asked.push(Asked { path: path.clone(), authorization, body });
        script.replies.get(&path).cloned().unwrap_or_else(|| Reply::status(404))
    };
    let mut response = Response::builder().status(reply.status);
    if let Some(location) = &reply.location {
        response = response.header("location", location);
    }
    response.body(reply.body.into()).unwrap()
}
