//! `people.send_password_reset`: mails the link with which somebody sets a new password.

use std::time::Duration;

use domain::{Done, EffectClass, JobError, LimitUse, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::StoreError;
use store::accounts::resets;
use uuid::Uuid;

use super::letter::{self, About};
use super::post;
use crate::{Ctx, Job};

/// Payload of `people.send_password_reset`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendPasswordReset {
    /// The reset that was asked for.
    pub reset_id: Uuid,
}

impl Job for SendPasswordReset {
    const KIND: &'static str = "people.send_password_reset";
    const LANE: &'static str = "critical";
    const EFFECT: EffectClass = EffectClass::Send;
    // Somebody sits and waits, and the link lasts an hour: often at first, and not for longer than that.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(2),
        factor: 3.0,
        cap: Duration::from_secs(900),
    };
    const TIMEOUT: Duration = Duration::from_secs(90);
    const ON_REQUEST: bool = false;
    const SUMMARY: &'static str = "Mails the link with which somebody sets a new password.";

    fn limits(&self) -> Vec<LimitUse> {
        vec![LimitUse::one("mail", "access")]
    }

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let mut tx = ctx.tx().await.map_err(post::store_fault)?;
        let minted = match resets::mint(&mut tx, self.reset_id, ctx.now()).await {
            Ok(minted) => minted,
            // Used or expired meanwhile.
            Err(StoreError::NotFound(_)) => {
                return Ok(Done::with(json!({ "sent": false, "why": "nothing to send any more" })));
            }
            Err(error) => return Err(post::store_fault(error)),
        };
        tx.commit().await.map_err(post::store_fault)?;
        let link = post::link(ctx, "/reset", &minted.token)?;
        let about = About::PasswordReset { name: &minted.name, email: &minted.email };
        let letter = letter::write(&about, &minted.locale, &link, minted.expires_at);
        post::send(ctx, &minted.email, Some(&minted.name), letter).await?;
        Ok(Done::with(json!({ "sent": true })))
    }
}
