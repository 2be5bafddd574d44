//! `auth.begin_oidc`: asks the identity provider where browsers are to be sent.

use std::time::Duration;

use domain::oidc::OidcFault;
use domain::{Done, EffectClass, JobError, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{json, to_value};
use store::accounts::flows;
use uuid::Uuid;

use super::{outcome_of, store_fault};
use crate::{Ctx, Job};

/// Payload of `auth.begin_oidc`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginOidc {
    /// The sign-in that waits for it.
    pub flow_id: Uuid,
}

impl Job for BeginOidc {
    const KIND: &'static str = "auth.begin_oidc";
    const LANE: &'static str = "critical";
    const EFFECT: EffectClass = EffectClass::Read;
    // A browser waits for ten seconds.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base: Duration::from_millis(500),
        factor: 2.0,
        cap: Duration::from_secs(2),
    };
    const TIMEOUT: Duration = Duration::from_secs(15);
    const ON_REQUEST: bool = false;
    const SUMMARY: &'static str = "Asks the identity provider where to send a browser that wants to sign in.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let page = ctx.ports.identity.authorize_page().await;
        let mut tx = ctx.tx().await.map_err(store_fault)?;
        match page {
            Ok(page) => {
                let page = to_value(page).map_err(|error| JobError::fail("page_unwritable", error))?;
                flows::set_authorize_page(&mut tx, self.flow_id, &page).await.map_err(store_fault)?;
            }
            Err(OidcFault::Unreachable { code, message }) if ctx.job.attempt < ctx.job.max_attempts => {
                return Err(JobError::retry(code, message));
            }
            Err(fault) => {
                let outcome =
                    to_value(outcome_of(&fault)).map_err(|error| JobError::fail("unwritable", error))?;
                flows::finish(&mut tx, self.flow_id, &outcome).await.map_err(store_fault)?;
                tx.commit_unrecorded("nobody came in").await.map_err(store_fault)?;
                return Err(JobError::fail(fault.code(), fault));
            }
        }
        tx.commit_unrecorded("nobody came in yet").await.map_err(store_fault)?;
        Ok(Done::with(json!({ "ready": true })))
    }
}
