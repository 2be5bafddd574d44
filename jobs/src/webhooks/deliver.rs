//! `webhooks.deliver`: puts one event before one subscriber, signed as Standard Webhooks asks.
//!
//! Carries no secret: the endpoint's signing secrets come from a port at the time of sending, so a
//! rotation also reaches events that are already queued. Refuses to follow redirects and to reach inside
//! the network; that is the sender's duty and arrives here as a fault.
//!
//! What an answer means:
//!
//! | answer | then |
//! |---|---|
//! | 2xx | done |
//! | 410 | permanent, `endpoint_gone`: the subscriber asks for no more |
//! | any other status | again by the schedule, `http_<status>`, not before `Retry-After` if it names one |
//! | no answer | again by the schedule, by cause (`timeout`, `connect`, …) |
//! | address refused, not signable | permanent, `address_refused`, `unsignable` |
//! | no signing secret | permanent, `signing_secret_missing`; create one and replay |
//!
//! 4xx are tried again too: receivers are deployed with a wrong route or secret and mended an hour later,
//! and an event given up too early is a support case, while a few more requests are not.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use domain::ports::{SecretsFault, WebhookAnswer, WebhookDelivery, WebhookFault};
use domain::{Done, EffectClass, JobError, LimitUse, RetryPolicy};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{Ctx, Job};

/// The whole exchange; leaves the attempt time to fetch secrets and to end orderly.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// No subscriber may ask for a longer pause.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Payload of `webhooks.deliver`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliverWebhook {
    /// The subscriber's URL. Shown without path and query, which receivers often treat as a secret.
    #[schemars(
        length(max = 2048),
        regex(pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\s\\]+([/?][^#\s\\]*)?$"),
        extend(
            "x-redact" = "url",
            "x-message" = "must be a full URL such as https://example.com/path, without user name, password and fragment"
        )
    )]
    pub url: Url,
    /// The event's id, by which receivers recognise repeats; the job's id when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^[A-Za-z0-9_-]{1,128}$"),
        extend("x-message" = "must have 1 to 128 letters, digits, “_” or “-”")
    )]
    pub event_id: Option<String>,
    /// The event's type, such as `order.paid`.
    #[schemars(
        regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"),
        extend("x-message" = "must have 1 to 128 letters, digits, “.”, “_” or “-”, such as order.paid")
    )]
    pub event_type: String,
    /// When it happened; the time of enqueueing when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<DateTime<Utc>>,
    /// The event itself: any JSON object, sent as it is written here.
    #[serde(deserialize_with = "object")]
    #[schemars(with = "Map<String, Value>")]
    pub data: Box<RawValue>,
}

/// What is signed and sent; the same bytes for every attempt.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a RawValue,
}

impl Job for DeliverWebhook {
    const KIND: &'static str = "webhooks.deliver";
    const LANE: &'static str = "webhooks";
    const EFFECT: EffectClass = EffectClass::Send;
    // Waits of up to 30 s, 3 min, 18 min, 1.8 h, 10.8 h, 12 h, 12 h: some 18 hours on average.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(30),
        factor: 6.0,
        cap: Duration::from_secs(12 * 3600),
    };
    const TIMEOUT: Duration = Duration::from_secs(30);
    const SUMMARY: &'static str = "Posts one event to a subscriber's URL, signed as Standard Webhooks asks.";

    fn limits(&self) -> Vec<LimitUse> {
        self.endpoint().map(|endpoint| LimitUse::one("webhooks.endpoint", endpoint)).into_iter().collect()
    }

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let secrets = self.secrets(ctx).await?;
        let body = self.body(ctx.job.created_at)?;
        let job_id = ctx.job.job_id.to_string();
        let delivery = WebhookDelivery {
            url: &self.url,
            event_id: self.event_id.as_deref().unwrap_or(&job_id),
            event_type: &self.event_type,
            timestamp: ctx.now(),
            body: &body,
            secrets: &secrets,
            timeout: EXCHANGE_TIMEOUT,
        };
        let answer = ctx.ports.webhook.deliver(delivery).await;
        judge(&answer.map_err(unanswered)?)
    }
}

impl DeliverWebhook {
    /// `host:port`, by which a subscriber is spared.
    fn endpoint(&self) -> Option<String> {
        let host = self.url.host_str()?;
        Some(format!("{host}:{}", self.url.port_or_known_default()?))
    }

    async fn secrets(&self, ctx: &Ctx) -> Result<Vec<SecretString>, JobError> {
        let found = ctx.ports.webhook_secrets.signing_secrets(ctx.job.org_id, &self.url).await;
        match found {
            Ok(secrets) if secrets.is_empty() => Err(JobError::fail(
                "signing_secret_missing",
                "the endpoint has no signing secret; create one, then replay",
            )),
            Ok(secrets) => Ok(secrets),
            Err(SecretsFault::Away(why)) => Err(JobError::retry("signing_secret_away", why)),
            Err(SecretsFault::Unusable(why)) => Err(JobError::fail("signing_secret_unusable", why)),
        }
    }

    fn body(&self, enqueued_at: DateTime<Utc>) -> Result<Vec<u8>, JobError> {
        let happened = self.occurred_at.unwrap_or(enqueued_at);
        serde_json::to_vec(&Body {
            r#type: &self.event_type,
            timestamp: happened.to_rfc3339_opts(SecondsFormat::Millis, true),
            data: &self.data,
        })
        .map_err(|error| JobError::fail("payload_invalid", error))
    }
}

/// Decides by the answer. Its body stays out of it: receivers echo paths and headers.
fn judge(answer: &WebhookAnswer) -> Result<Done, JobError> {
    let status = answer.status;
    match status {
        200..300 => {
            let took_ms = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
            Ok(Done::with(json!({ "status": status, "took_ms": took_ms })))
        }
        410 => Err(JobError::fail(
            "endpoint_gone",
            "the subscriber answered 410: it wants no more events; remove the endpoint or ask its owner",
        )),
        _ => {
            let code = format!("http_{status}");
            let message = format!("the subscriber answered {status}");
            Err(match answer.retry_after {
                Some(after) => JobError::retry_after(code, message, after.min(MAX_RETRY_AFTER)),
                None => JobError::retry(code, message),
            })
        }
    }
}

/// Decides where there is no answer.
fn unanswered(fault: WebhookFault) -> JobError {
    match fault {
        WebhookFault::Refused(why) => JobError::fail("address_refused", why),
        WebhookFault::Unsignable(why) => JobError::fail("unsignable", why),
        WebhookFault::Unreachable { code, message } => JobError::retry(code, message),
    }
}

fn object<'de, D: Deserializer<'de>>(from: D) -> Result<Box<RawValue>, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    if raw.get().starts_with('{') { Ok(raw) } else { Err(D::Error::custom("must be an object")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_covers_most_of_a_day() {
        let retry = DeliverWebhook::RETRY;
        let bounds: Duration = (1..retry.max_attempts).map(|attempt| retry.bound(attempt)).sum();
        // Full jitter: half of the bounds on average.
        let average = bounds / 2;
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert!(average > hours(16) && bounds < hours(40), "{average:?} {bounds:?}");
    }

    #[test]
    fn the_attempt_outlasts_its_exchange() {
        assert!(DeliverWebhook::TIMEOUT > EXCHANGE_TIMEOUT);
    }
}
