//! A browser, as far as the API can tell: it keeps cookies and sends the code of its session.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::people::PASSWORD;
use crate::app::{App, Reply};

#[derive(Clone)]
pub(crate) struct Browser<'a> {
    app: &'a App,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) csrf: Option<String>,
    pub(crate) address: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(app: &'a App) -> Self {
        Self { app, cookies: BTreeMap::new(), csrf: None, address: None }
    }

    /// A new browser in which `email` has just signed in.
    pub(crate) async fn signed_in(app: &'a App, email: &str) -> Self {
        let mut browser = Self::new(app);
        browser.sign_in(email, PASSWORD).await.ok();
        browser
    }

    pub(crate) async fn sign_in(&mut self, email: &str, password: &str) -> Reply {
        self.post("/v1/auth/sign-in", &json!({ "email": email, "password": password })).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.app.anonymous(method, path).header("user-agent", "Testing/1.0");
        if !self.cookies.is_empty() {
            let line: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", line.join("; "));
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        if let Some(address) = &self.address {
            request = request.header("x-forwarded-for", address);
        }
        request
    }

    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Reply {
        let reply = Reply::of(request).await;
        for line in reply.headers.get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(csrf) = reply.body["csrf_token"].as_str() {
            self.csrf = Some(csrf.to_owned());
        }
        reply
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&mut self, path: &str, body: Option<&Value>) -> Reply {
        let request = self.request(Method::DELETE, path);
        self.send(
            body.map_or_else(|| request.try_clone().unwrap(), |body| request.try_clone().unwrap().json(body)),
        )
        .await
    }

    pub(crate) async fn patch(&mut self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// The session's token.
    pub(crate) fn session(&self) -> &str {
        &self.cookies["countersign"]
    }

    pub(crate) fn device(&self) -> &str {
        &self.cookies["countersign-device"]
    }
}
