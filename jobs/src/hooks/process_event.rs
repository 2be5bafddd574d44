//! `hooks.process_event`: one webhook that arrived: its type is read, its handler runs, and it is sent on where
//! its endpoint says so.
//!
//! Carries the event's id and nothing of its content. What arrived is never changed; a body that can't be
//! read fails for good with the place named, and stays to be looked at. Runs again after a crash, and when
//! somebody replays the event; whoever it is sent on to sees the same event id each time.

use std::time::Duration;

use domain::{Done, EffectClass, HookEventId, JobError, MAX_PAYLOAD_BYTES};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use store::StoreError;
use store::hooks::{self, ToProcess};

use super::handlers::{self, Event};
use crate::webhooks::DeliverWebhook;
use crate::{Ctx, Job};

/// Room for what the delivery's payload says beside the body.
const AROUND_BODY: usize = 8 * 1024;

/// Payload of `hooks.process_event`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessEvent {
    /// The event.
    pub hook_event_id: HookEventId,
}

impl Job for ProcessEvent {
    const KIND: &'static str = "hooks.process_event";
    const LANE: &'static str = "default";
    const EFFECT: EffectClass = EffectClass::Write;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const ON_REQUEST: bool = false;
    const SUMMARY: &'static str =
        "Processes a webhook that arrived, and sends it on where its endpoint says so.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let mut tx = ctx.tx().await.map_err(stored)?;
        let event = hooks::to_process(&mut tx, self.hook_event_id).await.map_err(stored)?;
        drop(tx);
        let outcome = self.process(&event, ctx).await;
        let mut tx = ctx.tx().await.map_err(stored)?;
        match &outcome {
            Ok((event_type, result)) => {
                hooks::mark_processed(&mut tx, self.hook_event_id, event_type, result)
                    .await
                    .map_err(stored)?;
            }
            Err(JobError::Fail { code, message }) => {
                let cause = format!("{code}: {message}");
                hooks::mark_failed(&mut tx, self.hook_event_id, &cause).await.map_err(stored)?;
            }
            Err(JobError::Retry { code, message, .. }) if ctx.job.attempt >= ctx.job.max_attempts => {
                let cause = format!("{code}: {message}");
                hooks::mark_failed(&mut tx, self.hook_event_id, &cause).await.map_err(stored)?;
            }
            // Another attempt will say.
            Err(_) => return outcome.map(|_| Done::quiet()),
        }
        tx.commit().await.map_err(stored)?;
        let (event_type, result) = outcome?;
        Ok(Done::with(json!({ "event_type": event_type, "result": result })))
    }
}

impl ProcessEvent {
    /// Does what is to be done; answers the type and what became of it.
    async fn process(&self, event: &ToProcess, ctx: &Ctx) -> Result<(String, String), JobError> {
        let body: Value = serde_json::from_slice(&event.body).map_err(|error| unreadable(&error))?;
        let event_type = event_type(&body);
        let mut result = match handlers::handler(&event.provider, &event_type) {
            Some(handler) => {
                let event = Event {
                    provider: &event.provider,
                    provider_event_id: &event.provider_event_id,
                    event_type: &event_type,
                    body: &body,
                };
                handler.handle(event, ctx).await?
            }
            None => "kept; no handler is interested in it".to_owned(),
        };
        if event.forward_url.is_some() {
            self.forward(event, &event_type, &body, ctx)?;
            result.push_str("; enqueued to be sent on");
        }
        Ok((event_type, result))
    }

    /// Sends it on, as one of our own webhooks, when this job is completed.
    fn forward(&self, event: &ToProcess, kind: &str, body: &Value, ctx: &Ctx) -> Result<(), JobError> {
        let Some(url) = event.forward_url.as_deref().map(str::parse) else { return Ok(()) };
        let url = url.map_err(|_| {
            JobError::fail(
                "forward_url_unusable",
                "the endpoint's forward_url is no URL; change it, then replay",
            )
        })?;
        if event.body.len() > MAX_PAYLOAD_BYTES - AROUND_BODY {
            return Err(JobError::fail(
                "forward_too_large",
                format_args!(
                    "the body has {} bytes, too many to be sent on; read it with GET /v1/hooks/events/{}",
                    event.body.len(),
                    self.hook_event_id
                ),
            ));
        }
        // The text as it came, so that numbers and the order of fields stay; an object is what deliveries carry.
        let data = match serde_json::from_slice::<Box<RawValue>>(&event.body) {
            Ok(raw) if body.is_object() => raw,
            _ => to_raw_value(&json!({ "body": body }))
                .map_err(|error| JobError::fail("forward_unwritable", error))?,
        };
        ctx.then_job(&DeliverWebhook {
            url,
            event_id: Some(self.hook_event_id.to_string()),
            event_type: kind.to_owned(),
            occurred_at: Some(event.received_at),
            data,
        })
    }
}

/// The body's `type` (or `event_type`), where it reads like one.
fn event_type(body: &Value) -> String {
    let fits = |text: &&str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let named = ["type", "event_type"].iter().find_map(|name| body.get(name)?.as_str().filter(fits));
    named.unwrap_or("unknown").to_owned()
}

/// The place and the sort of mistake, and nothing of the text.
fn unreadable(error: &serde_json::Error) -> JobError {
    let what = if error.is_eof() { "ends too early" } else { "is not JSON" };
    JobError::fail(
        "hook_body_malformed",
        format_args!("the body {what}, at line {} column {}", error.line(), error.column()),
    )
}

fn stored(error: StoreError) -> JobError {
    match error {
        StoreError::Away(_) | StoreError::TooSlow => JobError::retry("database_away", error),
        StoreError::NotFound(_) => JobError::fail("hook_event_missing", "there is no such event here"),
        error => JobError::fail("hook_event_unstorable", error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_where_they_are_some() {
        for (body, kind) in [
            (json!({ "type": "payout.paid" }), "payout.paid"),
            (json!({ "event_type": "PAYMENT.PAYOUTSBATCH.SUCCESS" }), "PAYMENT.PAYOUTSBATCH.SUCCESS"),
            (json!({ "type": "a b", "event_type": "c" }), "c"),
            (json!({ "type": 7 }), "unknown"),
            (json!([]), "unknown"),
        ] {
            assert_eq!(event_type(&body), kind, "{body}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_named_by_its_place_only() {
        let error = serde_json::from_str::<Value>("{\"secret\": tr4").unwrap_err();
        let told = unreadable(&error).to_string();
        assert!(told.contains("line 1") && !told.contains("tr4") && !told.contains("secret"), "{told}");
    }
}
