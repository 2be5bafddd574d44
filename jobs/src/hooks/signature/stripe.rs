//! Stripe: one header `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]`, codes over `t.body`. The key is
//! the secret's text as it is shown. The event's id stands in the body.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Arrival, MOST_SIGNATURES, Refusal, Scheme, any_fits, check_time, seconds};

pub(super) struct Stripe;

impl Scheme for Stripe {
    fn provider(&self) -> &'static str {
        "stripe"
    }

    fn summary(&self) -> &'static str {
        "Stripe: the signing secret of the endpoint as Stripe shows it (whsec_…)."
    }

    fn check_secret(&self, secret: &SecretString) -> Result<(), &'static str> {
        let text = secret.expose_secret();
        let fits = text.strip_prefix("whsec_").is_some_and(|rest| {
            (16..=200).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_graphic())
        });
        fits.then_some(()).ok_or("must be the signing secret that Stripe shows; it begins with whsec_")
    }

    fn make_secret(&self) -> Option<SecretString> {
        None
    }

    fn verify(
        &self,
        arrival: &Arrival<'_>,
        secrets: &[SecretString],
        now: DateTime<Utc>,
        tolerance: Duration,
    ) -> Result<String, Refusal> {
        let header = (arrival.header)("stripe-signature").ok_or(Refusal::Unsigned)?;
        let (mut time, mut codes) = (None, Vec::new());
        for item in header.split(',') {
            match item.trim().split_once('=').ok_or(Refusal::Malformed)? {
                ("t", _) if time.is_some() => return Err(Refusal::Malformed),
                ("t", value) => time = Some(value),
                ("v1", code) if codes.len() < MOST_SIGNATURES => codes.extend(hex::decode(code)),
                _ => {}
            }
        }
        let time = time.ok_or(Refusal::Malformed)?;
        check_time(seconds(time)?, now, tolerance)?;
        let keys = secrets.iter().map(|secret| secret.expose_secret().as_bytes());
        if any_fits(keys, &[time.as_bytes(), b".", arrival.body], &codes) {
            Ok(event_id(arrival.body))
        } else {
            Err(Refusal::Wrong)
        }
    }
}

/// The body's own id; where it has none that could be one, its hash: the same bytes are the same event.
fn event_id(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    match serde_json::from_slice::<Named>(body) {
        Ok(Named { id }) if (1..=255).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) => id,
        _ => format!("sha256:{}", hex::encode(Sha256::digest(body))),
    }
}
