//! Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, the last a list of
//! `v1,<base64>` codes over `id.timestamp.body`. Other versions in the list are passed over.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};

use super::{Arrival, MOST_SIGNATURES, Refusal, Scheme, any_fits, check_time, seconds};

const PREFIX: &str = "whsec_";
const LEAST_BYTES: usize = 24;
const MOST_BYTES: usize = 64;

pub(super) struct Standard;

impl Scheme for Standard {
    fn provider(&self) -> &'static str {
        "standard"
    }

    fn summary(&self) -> &'static str {
        "Standard Webhooks: made here when none is given, else as the sender shows it (whsec_…)."
    }

    fn check_secret(&self, secret: &SecretString) -> Result<(), &'static str> {
        key(secret).map(drop).ok_or("must be whsec_ and the base64 of 24 to 64 bytes")
    }

    fn make_secret(&self) -> Option<SecretString> {
        let mut key = [0_u8; 32];
        rand::rng().fill_bytes(&mut key);
        Some(format!("{PREFIX}{}", STANDARD.encode(key)).into())
    }

    fn verify(
        &self,
        arrival: &Arrival<'_>,
        secrets: &[SecretString],
        now: DateTime<Utc>,
        tolerance: Duration,
    ) -> Result<String, Refusal> {
        let header = |name| (arrival.header)(name).ok_or(Refusal::Unsigned);
        let (id, time, codes) =
            (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
        // A dot would let parts of the signed text pass for another id or time.
        let id_fits =
            (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
        if !id_fits {
            return Err(Refusal::Malformed);
        }
        check_time(seconds(time)?, now, tolerance)?;
        let codes: Vec<Vec<u8>> = codes
            .split(' ')
            .filter_map(|code| code.strip_prefix("v1,"))
            .take(MOST_SIGNATURES)
            .filter_map(|code| STANDARD.decode(code).ok())
            .collect();
        let keys: Vec<Vec<u8>> = secrets.iter().filter_map(key).collect();
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", arrival.body];
        if any_fits(keys.iter().map(Vec::as_slice), &parts, &codes) {
            Ok(id.to_owned())
        } else {
            Err(Refusal::Wrong)
        }
    }
}

fn key(secret: &SecretString) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok()?;
    (LEAST_BYTES..=MOST_BYTES).contains(&key.len()).then_some(key)
}
