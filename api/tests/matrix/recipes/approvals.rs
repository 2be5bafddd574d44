//! Approvals, and the rules of who decides.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{About, Bound, Recipe, Setting};
use crate::call::Call;
use crate::expect::Place;
use crate::world::Papers;

/// A kind that no other recipe enqueues.
const RULE: &str = "/v1/approvals/rules/job:system.slow";

impl Setting<'_> {
    fn request(&self) -> Value {
        let job =
            json!({ "kind": "system.slow", "payload": { "duration_ms": 1 }, "workspace_id": self.room() });
        json!({ "job": job, "summary": "Take a moment" })
    }

    /// An approval that waits, asked for by somebody else, with everybody who may decide in its rule.
    async fn approval(&self) -> (Uuid, Value) {
        let token = Papers::Token(self.world.token_of(self.org()).to_owned());
        let rule = json!({ "roles": ["owner", "manager", "finance"] });
        self.asked_as(&token, Method::PUT, RULE, &rule).await.ok();
        let asked = self.asked_as(&token, Method::POST, "/v1/approvals", &self.request()).await.ok();
        (asked["approval_id"].as_str().unwrap().parse().unwrap(), asked["content_hash"].clone())
    }

    /// One that the caller asked for, where they may.
    async fn own_approval(&self) -> Uuid {
        if self.place == Place::OtherOrg {
            return self.approval().await.0;
        }
        let asked = self.asked(Method::POST, "/v1/approvals", &self.request()).await;
        match asked.body["approval_id"].as_str() {
            Some(id) => id.parse().unwrap(),
            None => self.approval().await.0,
        }
    }
}

pub(super) fn recipes() -> Vec<Recipe> {
    let one = About::One(Bound::Room);
    vec![
        Recipe::new("POST /v1/approvals", About::NamesRoom, |s| Box::pin(async { Call::with(s.request()) })),
        Recipe::new("GET /v1/approvals", About::Many(Bound::Room), |s| {
            Box::pin(async { Call::plain().asking("limit=200&state=pending").shows(s.approval().await.0) })
        }),
        Recipe::new("GET /v1/approvals/{approval_id}", one, |s| {
            Box::pin(async { Call::at(s.approval().await.0) })
        }),
        Recipe::new("PUT /v1/approvals/{approval_id}/content", one, |s| {
            Box::pin(async {
                let mut other = s.request();
                other["job"]["payload"]["duration_ms"] = json!(2);
                Call::at(s.approval().await.0).and_with(other)
            })
        }),
        Recipe::new("POST /v1/approvals/{approval_id}/approve", one, |s| {
            Box::pin(async {
                let (id, hash) = s.approval().await;
                Call::at(id).and_with(json!({ "content_hash": hash }))
            })
        }),
        Recipe::new("POST /v1/approvals/{approval_id}/reject", one, |s| {
            Box::pin(async {
                let (id, hash) = s.approval().await;
                Call::at(id).and_with(json!({ "content_hash": hash, "comment": "not now" }))
            })
        }),
        Recipe::new("POST /v1/approvals/{approval_id}/withdraw", one, |s| {
            Box::pin(async { Call::at(s.own_approval().await) })
        }),
        Recipe::new("GET /v1/approvals/rules", About::Many(Bound::Org), |s| {
            Box::pin(async {
                let kind = format!("noun{}", Uuid::now_v7().simple());
                let token = Papers::Token(s.world.token_of(s.org()).to_owned());
                s.asked_as(&token, Method::PUT, &format!("/v1/approvals/rules/{kind}"), &json!({}))
                    .await
                    .ok();
                Call::plain().shows(kind)
            })
        }),
        Recipe::new("PUT /v1/approvals/rules/{subject_kind}", About::Nothing, |_| {
            Box::pin(async { Call::at("payout_batch").and_with(json!({ "needed": 2 })) })
        }),
        Recipe::new("DELETE /v1/approvals/rules/{subject_kind}", About::One(Bound::Org), |s| {
            Box::pin(async {
                let kind = format!("noun{}", Uuid::now_v7().simple());
                let token = Papers::Token(s.world.token_of(s.org()).to_owned());
                s.asked_as(&token, Method::PUT, &format!("/v1/approvals/rules/{kind}"), &json!({}))
                    .await
                    .ok();
                Call::at(kind)
            })
        }),
    ]
}
