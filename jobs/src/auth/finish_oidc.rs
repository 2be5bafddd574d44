//! `auth.finish_oidc`: trades the code that a browser brought back for a checked identity.

use std::time::Duration;

use domain::oidc::{CodeExchange, OidcFault};
use domain::{Done, EffectClass, JobError, RetryPolicy};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{json, to_value};
use store::accounts::flows;
use uuid::Uuid;

use super::{CALLBACK_PATH, FlowOutcome, FlowSecrets, outcome_of, store_fault};
use crate::{Ctx, Job};

/// Payload of `auth.finish_oidc`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishOidc {
    /// The sign-in whose browser came back.
    pub flow_id: Uuid,
}

impl Job for FinishOidc {
    const KIND: &'static str = "auth.finish_oidc";
    const LANE: &'static str = "critical";
    // Trading a code twice is refused by the provider and changes nothing.
    const EFFECT: EffectClass = EffectClass::Read;
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 2,
        base: Duration::from_millis(500),
        factor: 2.0,
        cap: Duration::from_secs(2),
    };
    const TIMEOUT: Duration = Duration::from_secs(15);
    const ON_REQUEST: bool = false;
    const SUMMARY: &'static str = "Asks the identity provider who it is that came back from it.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let exchange = self.exchange(ctx).await?;
        let outcome = match ctx.ports.identity.exchange(&exchange).await {
            Ok(identity) => FlowOutcome::Identity(identity),
            Err(OidcFault::Unreachable { code, message }) if ctx.job.attempt < ctx.job.max_attempts => {
                return Err(JobError::retry(code, message));
            }
            Err(fault) => outcome_of(&fault),
        };
        let mut tx = ctx.tx().await.map_err(store_fault)?;
        let written = to_value(&outcome).map_err(|error| JobError::fail("unwritable", error))?;
        flows::finish(&mut tx, self.flow_id, &written).await.map_err(store_fault)?;
        tx.commit_unrecorded("whoever comes in is recorded then").await.map_err(store_fault)?;
        match outcome {
            FlowOutcome::Identity(_) => Ok(Done::with(json!({ "vouched": true }))),
            FlowOutcome::Fault { code, message, .. } => Err(JobError::fail(code, message)),
        }
    }
}

impl FinishOidc {
    async fn exchange(&self, ctx: &Ctx) -> Result<CodeExchange, JobError> {
        let mut tx = ctx.tx().await.map_err(store_fault)?;
        let flow = flows::get(&mut tx, self.flow_id).await.map_err(store_fault)?;
        drop(tx);
        let unusable = || {
            JobError::fail(
                "flow_unusable",
                "the sign-in can't be opened: it is over, or this worker has other keys than the API \
                 (COUNTERSIGN_KEYS_DIR or COUNTERSIGN_AUTH_KEYS)",
            )
        };
        let open = |sealed: &[u8]| ctx.ports.flow_seals.open(self.flow_id, sealed).ok_or_else(unusable);
        let code: SecretString = open(flow.code_sealed.as_deref().ok_or_else(unusable)?)?;
        let secrets = open(&flow.sealed)?;
        let secrets: FlowSecrets = serde_json::from_str(secrets.expose_secret()).map_err(|_| unusable())?;
        let redirect_uri = ctx.ports.public_url.join(CALLBACK_PATH).map_err(|_| unusable())?;
        Ok(CodeExchange { code, redirect_uri, pkce_verifier: secrets.verifier.into(), nonce: secrets.nonce })
    }
}
