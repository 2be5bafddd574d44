//! Inbound webhooks: endpoints, and what arrived.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{About, Bound, Recipe, Setting};
use crate::call::Call;
use crate::world::Papers;

impl Setting<'_> {
    fn endpoint_request(&self) -> Value {
        json!({ "provider": "standard", "name": Uuid::now_v7(), "workspace_id": self.room() })
    }

    /// An endpoint, and the secret that what is sent there is signed with.
    async fn endpoint(&self) -> (Uuid, SecretString) {
        let token = Papers::Token(self.world.token_of(self.org()).to_owned());
        let made =
            self.asked_as(&token, Method::POST, "/v1/hooks/endpoints", &self.endpoint_request()).await.ok();
        let id = made["endpoint_id"].as_str().unwrap().parse().unwrap();
        (id, made["secret"].as_str().unwrap().into())
    }

    /// Something that arrived.
    async fn arrived(&self) -> Uuid {
        let (endpoint, _) = self.endpoint().await;
        let event = self
            .made(
                "INSERT INTO hook_event (hook_event_id, org_id, workspace_id, hook_endpoint_id, provider,
                                         provider_event_id, headers, body, job_id, state)
                 SELECT $1, $2, $3, hook_endpoint_id, 'standard', $1::text, '{}', '{}', gen_random_uuid(), 'processed'
                 FROM hook_endpoint WHERE org_id = $2 AND $4::uuid IS NULL ORDER BY created_at DESC LIMIT 1",
            )
            .await;
        sqlx::query("UPDATE hook_event SET hook_endpoint_id = $2 WHERE hook_event_id = $1")
            .bind(event)
            .bind(endpoint)
            .execute(self.world.app.db.superuser())
            .await
            .unwrap();
        event
    }
}

pub(super) fn recipes() -> Vec<Recipe> {
    let one = About::One(Bound::Room);
    vec![
        Recipe::new("GET /v1/hooks/endpoints", About::Many(Bound::Room), |s| {
            Box::pin(async { Call::plain().shows(s.endpoint().await.0) })
        }),
        Recipe::new("POST /v1/hooks/endpoints", About::NamesRoom, |s| {
            Box::pin(async { Call::with(s.endpoint_request()) })
        }),
        Recipe::new("PATCH /v1/hooks/endpoints/{endpoint_id}", one, |s| {
            Box::pin(async { Call::at(s.endpoint().await.0).and_with(json!({ "tolerance_s": 60 })) })
        }),
        Recipe::new("DELETE /v1/hooks/endpoints/{endpoint_id}", one, |s| {
            Box::pin(async { Call::at(s.endpoint().await.0) })
        }),
        Recipe::new("POST /v1/hooks/endpoints/{endpoint_id}/rotate-secret", one, |s| {
            Box::pin(async { Call::at(s.endpoint().await.0) })
        }),
        Recipe::new("GET /v1/hooks/events", About::Many(Bound::Room), |s| {
            Box::pin(async {
                let id = s.arrived().await;
                Call::plain().asking(format!("provider_event_id={id}")).shows(id)
            })
        }),
        Recipe::new("GET /v1/hooks/events/{event_id}", one, |s| {
            Box::pin(async { Call::at(s.arrived().await) })
        }),
        Recipe::new("POST /v1/hooks/events/{event_id}/replay", one, |s| {
            Box::pin(async { Call::at(s.arrived().await) })
        }),
        Recipe::new("POST /v1/hooks/{provider}/{endpoint_id}", About::Public, |s| {
            Box::pin(async {
                let (endpoint, secret) = s.endpoint().await;
                let (id, at) = (format!("msg_{}", Uuid::now_v7().simple()), chrono::Utc::now().timestamp());
                let body = json!({ "type": "order.paid" });
                let signer = standardwebhooks::Webhook::new(secret.expose_secret()).unwrap();
                let signature = signer.sign(&id, at, body.to_string().as_bytes()).unwrap();
                Call::at("standard")
                    .and_at(endpoint)
                    .and_with(body)
                    .header("webhook-id", id)
                    .header("webhook-timestamp", at)
                    .header("webhook-signature", signature)
            })
        }),
    ]
}
