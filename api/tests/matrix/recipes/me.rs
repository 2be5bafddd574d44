//! What somebody signed in sees and changes of themselves. Each call is somebody new's.

use domain::Role;
use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Algorithm, Builder, Secret};

use super::{About, Recipe, Setting, plain};
use crate::call::Call;

impl Setting<'_> {
    /// Whether a signed-in person calls.
    fn is_somebody(&self) -> bool {
        self.papers.session().is_some()
    }

    /// Begins a second factor as the caller; answers the code of the moment.
    async fn proposed(&self) -> String {
        if !self.is_somebody() {
            return "123456".to_owned();
        }
        let proposed = self.asked(Method::POST, "/v1/me/totp", &json!({})).await.ok();
        let secret = Secret::try_from_base32(proposed["secret"].as_str().unwrap()).unwrap();
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(30)
            .with_secret(secret)
            .with_account_name("somebody")
            .build()
            .unwrap();
        totp.generate(u64::try_from(chrono::Utc::now().timestamp()).unwrap()).to_string()
    }

    /// A second factor of the caller's; answers a code that works.
    async fn code(&self) -> Value {
        let code = json!({ "code": self.proposed().await });
        if !self.is_somebody() {
            return code;
        }
        let confirmed = self.asked(Method::POST, "/v1/me/totp/confirm", &code).await.ok();
        json!({ "code": confirmed["recovery_codes"][0] })
    }
}

pub(super) fn recipes() -> Vec<Recipe> {
    vec![
        Recipe::new("GET /v1/me", About::Nothing, plain),
        Recipe::new("GET /v1/me/permissions", About::Nothing, plain),
        Recipe::new("PATCH /v1/me", About::Nothing, |_| {
            Box::pin(async { Call::with(json!({ "name": "Somebody Else" })) })
        }),
        Recipe::new("POST /v1/me/password", About::Nothing, |_| {
            Box::pin(async { Call::with(json!({ "new": "sluggish-harbour-oxide-42" })) })
        }),
        Recipe::new("POST /v1/me/totp", About::Nothing, plain),
        Recipe::new("POST /v1/me/totp/confirm", About::Nothing, |s| {
            Box::pin(async { Call::with(json!({ "code": s.proposed().await })) })
        }),
        Recipe::new("DELETE /v1/me/totp", About::Nothing, |s| Box::pin(async { Call::with(s.code().await) })),
        Recipe::new("POST /v1/me/recovery-codes", About::Nothing, |s| {
            Box::pin(async { Call::with(s.code().await) })
        }),
        Recipe::new("POST /v1/me/step-up", About::Nothing, |s| {
            Box::pin(async { Call::with(s.code().await) })
        }),
        Recipe::new("POST /v1/me/org", About::Nothing, |s| {
            Box::pin(async {
                if let Some(session) = s.papers.session() {
                    s.world.joins(s.world.other_org, session.account_id, &session.email, Role::Support).await;
                }
                Call::with(json!({ "org": "other" }))
            })
        }),
        Recipe::new("GET /v1/me/sessions", About::Nothing, plain),
        Recipe::new("DELETE /v1/me/sessions/{session_id}", About::Nothing, |s| {
            Box::pin(async {
                match s.papers.session() {
                    Some(session) => Call::at(session.session_id),
                    None => Call::at(uuid::Uuid::now_v7()),
                }
            })
        }),
        Recipe::new("POST /v1/me/sessions/end-others", About::Nothing, plain),
    ]
}
