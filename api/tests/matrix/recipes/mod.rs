//! How each operation is called so that it succeeds for whoever may: one entry an operation.

mod approvals;
mod audit;
mod dead;
mod fleet;
mod hooks;
mod jobs;
mod lanes;
mod limits;
mod me;
mod people;
mod schedules;
mod secrets;
mod sign_in;

use domain::Permission;
use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::Value;

use crate::app::Reply;
use crate::call::Call;
use crate::expect::Place;
use crate::world::{Papers, World};

/// Where and for whom a call is prepared.
pub(crate) struct Setting<'a> {
    pub(crate) world: &'a World,
    /// Where the subject is to be.
    pub(crate) place: Place,
    /// What the caller will show.
    pub(crate) papers: &'a Papers,
}

impl Setting<'_> {
    /// Another call of the caller's, made before the one that counts.
    pub(crate) async fn asked(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.asked_as(self.papers, method, path, body).await
    }

    pub(crate) async fn asked_as(&self, papers: &Papers, method: Method, path: &str, body: &Value) -> Reply {
        let request = papers.shown(self.world.app.anonymous(method.clone(), path), true).json(body);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        assert!(!status.is_server_error(), "{method} {path} {body}: {text}");
        Reply { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }
}

/// What a thing is bound to besides its organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Nothing.
    Org,
    /// A room.
    Room,
    /// A room, and perhaps to one person in it.
    Private,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The caller, or the organisation as a whole.
    Nothing,
    /// One thing, which is not there for those who don't see it.
    One(Bound),
    /// Many things; the answer shows the marker to those who see it.
    Many(Bound),
    /// Something new in a room that is named.
    NamesRoom,
    /// Nobody in particular: called once, by nobody.
    Public,
}

/// Prepares a call: makes the subject and says what to send.
pub(crate) type Prepare = for<'a> fn(&'a Setting<'a>) -> BoxFuture<'a, Call>;

pub(crate) struct Recipe {
    /// `POST /v1/jobs`.
    pub(crate) operation: &'static str,
    pub(crate) about: About,
    pub(crate) call: Prepare,
    /// What an API token needs besides the scope in the document.
    pub(crate) also: Vec<Permission>,
    /// The status of success, where it is none of 2xx and 3xx.
    pub(crate) answers: Option<u16>,
    /// Why it leaves nothing in the audit log although it is no GET.
    pub(crate) unrecorded: Option<&'static str>,
}

impl Recipe {
    pub(crate) fn new(operation: &'static str, about: About, call: Prepare) -> Self {
        Self { operation, about, call, also: Vec::new(), answers: None, unrecorded: None }
    }

    pub(crate) fn also(self, permissions: Vec<Permission>) -> Self {
        Self { also: permissions, ..self }
    }

    pub(crate) fn answers(self, status: u16) -> Self {
        Self { answers: Some(status), ..self }
    }

    pub(crate) fn unrecorded(self, why: &'static str) -> Self {
        Self { unrecorded: Some(why), ..self }
    }
}

/// A call that needs nothing.
pub(crate) fn plain<'a>(_: &'a Setting<'a>) -> BoxFuture<'a, Call> {
    Box::pin(async { Call::plain() })
}

pub(crate) fn all() -> Vec<Recipe> {
    [
        sign_in::recipes(),
        me::recipes(),
        people::recipes(),
        jobs::recipes(),
        dead::recipes(),
        lanes::recipes(),
        limits::recipes(),
        schedules::recipes(),
        approvals::recipes(),
        audit::recipes(),
        secrets::recipes(),
        hooks::recipes(),
        fleet::recipes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
