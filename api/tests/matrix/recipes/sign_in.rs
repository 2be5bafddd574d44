//! The ways in and out.

use domain::Role;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{About, Recipe, Setting, plain};
use crate::call::Call;
use crate::world::new_token;

const PASSWORD: &str = "sluggish-harbour-oxide-42";

impl Setting<'_> {
    /// An invitation to the organisation, and the token of its link.
    async fn invited(&self) -> (Uuid, String) {
        let (id, token) = (self.invitation().await, new_token());
        sqlx::query("UPDATE invitation SET token_hash = $2 WHERE invitation_id = $1")
            .bind(id)
            .bind(Sha256::digest(token.as_bytes()).as_slice())
            .execute(self.world.app.db.superuser())
            .await
            .unwrap();
        (id, token)
    }

    /// The token of a link that sets a new password.
    async fn reset(&self) -> String {
        let somebody = self.world.joined(self.world.org, Role::Support).await;
        let token = new_token();
        sqlx::query(
            "INSERT INTO password_reset (reset_id, org_id, account_id, token_hash, created_at, expires_at)
             VALUES ($1, $2, $3, $4, now(), now() + interval '1 hour')",
        )
        .bind(Uuid::now_v7())
        .bind(somebody.org.0)
        .bind(somebody.account)
        .bind(Sha256::digest(token.as_bytes()).as_slice())
        .execute(self.world.app.db.superuser())
        .await
        .unwrap();
        token
    }
}

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        // Without an identity provider; the whole way is in tests/api/sign_in.
        Recipe::new("GET /v1/auth/oidc", About::Public, plain).answers(404),
        Recipe::new("GET /v1/auth/oidc/callback", About::Public, |_| {
            Box::pin(async { Call::plain().asking("code=c&state=s") })
        })
        .answers(404),
        Recipe::new("POST /v1/auth/sign-in", About::Public, |s| {
            Box::pin(async {
                let reset = json!({ "token": s.reset().await, "password": PASSWORD });
                s.asked(reqwest::Method::POST, "/v1/auth/password-reset/complete", &reset).await.ok();
                let email: String = sqlx::query_scalar(
                    "SELECT email FROM account WHERE password_hash IS NOT NULL ORDER BY account_id DESC LIMIT 1",
                )
                .fetch_one(s.world.app.db.superuser())
                .await
                .unwrap();
                Call::with(json!({ "email": email, "password": PASSWORD }))
            })
        }),
        Recipe::new("POST /v1/auth/sign-out", About::Nothing, plain),
        Recipe::new("POST /v1/auth/access-token", About::Nothing, plain)
            .unrecorded("it says for minutes what the session says already"),
        Recipe::new("POST /v1/auth/password-reset", About::Public, |_| {
            Box::pin(async { Call::with(json!({ "email": "nobody@people.test" })) })
        })
        .unrecorded("what it does for those who exist it does beside the answer"),
        Recipe::new("POST /v1/auth/password-reset/complete", About::Public, |s| {
            Box::pin(async { Call::with(json!({ "token": s.reset().await, "password": PASSWORD })) })
        }),
        Recipe::new("POST /v1/auth/invitation", About::Public, |s| {
            Box::pin(async { Call::with(json!({ "token": s.invited().await.1 })) })
        })
        .unrecorded("it only looks"),
        Recipe::new("POST /v1/auth/invitation/accept", About::Public, |s| {
            Box::pin(async {
                let (_, token) = s.invited().await;
                Call::with(json!({ "token": token, "name": "Somebody New", "password": PASSWORD }))
            })
        }),
    ]
}
