//! Provider credentials.

use serde_json::json;
use uuid::Uuid;

use super::{About, Bound, Recipe, Setting};
use crate::call::Call;

impl Setting<'_> {
    async fn secret(&self) -> Uuid {
        self.made(
            "INSERT INTO secret (secret_id, org_id, workspace_id, name, kind, owner_system, key_id, wrapped_key, ciphertext)
             SELECT $1, $2, $3, $1::text, 'api_key', 'a provider', 'k', ''::bytea, ''::bytea WHERE $4::uuid IS NULL",
        )
        .await
    }
}

pub(super) fn recipes() -> Vec<Recipe> {
    let one = About::One(Bound::Room);
    vec![
        Recipe::new("GET /v1/secrets", About::Many(Bound::Room), |s| {
            Box::pin(async { Call::plain().shows(s.secret().await) })
        }),
        Recipe::new("POST /v1/secrets", About::NamesRoom, |s| {
            Box::pin(async {
                Call::with(json!({
                    "name": format!("s-{}", Uuid::now_v7()), "kind": "api_key", "owner_system": "a provider",
                    "value": "planted", "workspace_id": s.room(),
                }))
            })
        }),
        Recipe::new("PATCH /v1/secrets/{secret_id}", one, |s| {
            Box::pin(async { Call::at(s.secret().await).and_with(json!({ "owner_system": "another" })) })
        }),
        Recipe::new("PUT /v1/secrets/{secret_id}/value", one, |s| {
            Box::pin(async { Call::at(s.secret().await).and_with(json!({ "value": "planted" })) })
        }),
        Recipe::new("DELETE /v1/secrets/{secret_id}", one, |s| {
            Box::pin(async { Call::at(s.secret().await) })
        }),
    ]
}
