//! One call: made by a recipe, shown somebody's papers, and what came of it.

use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::document::{Guard, Operation};
use crate::expect::{Place, Who};
use crate::recipes::{Recipe, Setting};
use crate::world::{Papers, World};

/// How to call an operation.
#[derive(Default)]
pub(crate) struct Call {
    segments: Vec<String>,
    query: String,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
    marker: Option<String>,
}

impl Call {
    /// With nothing.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// With this in the path's next gap.
    pub(crate) fn at(segment: impl ToString) -> Self {
        Self::plain().and_at(segment)
    }

    pub(crate) fn and_at(mut self, segment: impl ToString) -> Self {
        self.segments.push(segment.to_string());
        self
    }

    /// With this body.
    pub(crate) fn with(body: Value) -> Self {
        Self::plain().and_with(body)
    }

    pub(crate) fn and_with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With this after the question mark.
    pub(crate) fn asking(mut self, query: impl ToString) -> Self {
        self.query = query.to_string();
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The answer shows this if and only if the caller sees the subject.
    pub(crate) fn shows(mut self, marker: impl ToString) -> Self {
        self.marker = Some(marker.to_string());
        self
    }

    fn path(&self, template: &str) -> String {
        let mut segments = self.segments.iter();
        let filled: Vec<&str> = template
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    segments.next().expect("a value for each gap").as_str()
                } else {
                    part
                }
            })
            .collect();
        assert!(segments.next().is_none(), "{template} has fewer gaps");
        let path = filled.join("/");
        if self.query.is_empty() { path } else { format!("{path}?{}", self.query) }
    }
}

/// What came of a call.
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) body: String,
    pub(crate) marker: Option<String>,
    /// Entries in the audit log that name the request.
    pub(crate) recorded: i64,
}

pub(crate) async fn make(
    world: &World,
    operation: &Operation,
    recipe: &Recipe,
    who: Who,
    place: Place,
) -> Outcome {
    let papers = match (who, operation.guard) {
        // Their account is changed by the call: each call gets somebody new.
        (Who::Person(role), Guard::Person) => world.person(role).await,
        (Who::Person(role), _) => world.known(role),
        (Who::TokenWith, Guard::May(permission)) => world.token_with(permission, &recipe.also).await,
        (Who::TokenWithout, Guard::May(permission)) => world.token_without(permission).await,
        (Who::TokenWith | Who::TokenWithout, _) => world.whole_token(),
        (Who::Nobody, _) => Papers::None,
    };
    let setting = Setting { world, place, papers: &papers };
    let call = (recipe.call)(&setting).await;
    let request_id = Uuid::now_v7().to_string();
    let mut request = world.app.anonymous(operation.method.clone(), &call.path(&operation.path));
    request = papers.shown(request, operation.changes()).header("x-request-id", &request_id);
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    if let Some(body) = &call.body {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()["x-request-id"], request_id.as_str(), "{}", operation.key);
    // A stream has no end to wait for.
    let endless = response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let body = if endless { String::new() } else { response.text().await.unwrap() };
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    let recorded = sqlx::query_scalar("SELECT count(*) FROM audit_entry WHERE request_id = $1")
        .bind(&request_id)
        .fetch_one(world.app.db.superuser())
        .await
        .unwrap();
    Outcome {
        status,
        code: problem["code"].as_str().unwrap_or_default().to_owned(),
        body,
        marker: call.marker,
        recorded,
    }
}
