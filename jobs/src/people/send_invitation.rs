//! `people.send_invitation`: mails the link with which somebody joins an organisation.

use std::time::Duration;

use domain::{Done, EffectClass, InvitationId, JobError, LimitUse, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::StoreError;
use store::people::invitations;

use super::letter::{self, About};
use super::post;
use crate::{Ctx, Job};

/// Payload of `people.send_invitation`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendInvitation {
    /// The invitation. Only the job that was made with it may mail it.
    pub invitation_id: InvitationId,
}

impl Job for SendInvitation {
    const KIND: &'static str = "people.send_invitation";
    const LANE: &'static str = "critical";
    const EFFECT: EffectClass = EffectClass::Send;
    // Waits of up to 5 s, 20 s, 80 s, 5 min, 21 min, 1 h, 1 h: a mail server that is restarted is waited for.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(5),
        factor: 4.0,
        cap: Duration::from_secs(3600),
    };
    const TIMEOUT: Duration = Duration::from_secs(90);
    const ON_REQUEST: bool = false;
    const SUMMARY: &'static str = "Mails the link with which somebody joins the organisation.";

    fn limits(&self) -> Vec<LimitUse> {
        vec![LimitUse::one("mail", "access")]
    }

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let mut tx = ctx.tx().await.map_err(post::store_fault)?;
        let minted = match invitations::mint(&mut tx, self.invitation_id, ctx.job.job_id, ctx.now()).await {
            Ok(Some(minted)) => minted,
            // Accepted, withdrawn or expired meanwhile, or asked for again by another job.
            Ok(None) => return Ok(Done::with(json!({ "sent": false, "why": "nothing to send any more" }))),
            Err(StoreError::NotFound(_)) => {
                return Err(JobError::fail("invitation_missing", "there is no such invitation"));
            }
            Err(error) => return Err(post::store_fault(error)),
        };
        tx.commit().await.map_err(post::store_fault)?;
        let invitation = &minted.invitation;
        let about = About::Invitation {
            org: &minted.org_name,
            inviter: invitation.inviter.as_deref(),
            role: invitation.role.as_str(),
        };
        let link = post::link(ctx, "/invitation", &minted.token)?;
        let letter = letter::write(&about, &invitation.locale, &link, invitation.expires_at);
        post::send(ctx, &invitation.email, None, letter).await?;
        Ok(Done::with(json!({ "sent": true })))
    }
}
