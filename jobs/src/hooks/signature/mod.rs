//! Signatures of webhooks that arrive. Pure: the request's parts, the secrets and the time come in.
//!
//! Every scheme here is an HMAC over the raw body and a time. Schemes that need a certificate or a question to
//! the provider do not fit behind [`Scheme`]: they are checked by a job, before what arrived is believed.

mod standard;
mod stripe;

use std::time::Duration;

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// Every scheme, by the provider's name in the address.
pub const SCHEMES: &[&dyn Scheme] = &[&standard::Standard, &stripe::Stripe];

/// Most signatures of one request that are looked at.
const MOST_SIGNATURES: usize = 16;

/// A request at the door.
pub struct Arrival<'a> {
    /// A header's value by its lower-case name; none when it is not there, not text, or there twice.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Exactly the bytes that arrived.
    pub body: &'a [u8],
}

/// Why a request is not believed. The sender is told none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A header of the scheme is missing.
    Unsigned,
    /// A header of the scheme can't be read.
    Malformed,
    /// The signed time is too far from now.
    Stale,
    /// No signature fits any secret.
    Wrong,
}

impl Refusal {
    /// For metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Wrong => "wrong_signature",
        }
    }
}

/// How one provider signs.
pub trait Scheme: Sync {
    /// The provider's name in the address.
    fn provider(&self) -> &'static str;

    /// For people: where the secret comes from.
    fn summary(&self) -> &'static str;

    /// Whether a text can be a secret of this scheme.
    ///
    /// # Errors
    /// What it must look like.
    fn check_secret(&self, secret: &SecretString) -> Result<(), &'static str>;

    /// A secret of our own making, where the provider takes one.
    fn make_secret(&self) -> Option<SecretString>;

    /// Whether the request was signed with one of these secrets, at a time within `tolerance` of `now`. Answers
    /// the provider's id of the event.
    ///
    /// # Errors
    /// [`Refusal`].
    fn verify(
        &self,
        arrival: &Arrival<'_>,
        secrets: &[SecretString],
        now: DateTime<Utc>,
        tolerance: Duration,
    ) -> Result<String, Refusal>;
}

/// The scheme of a provider.
#[must_use]
pub fn scheme(provider: &str) -> Option<&'static dyn Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.provider() == provider)
}

/// The providers' names, for people.
#[must_use]
pub fn providers() -> String {
    SCHEMES.iter().map(|scheme| scheme.provider()).collect::<Vec<_>>().join(", ")
}

/// Unix seconds as they are signed: digits alone, so that no two texts mean one time.
fn seconds(text: &str) -> Result<i64, Refusal> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or(Refusal::Malformed)
}

fn check_time(signed: i64, now: DateTime<Utc>, tolerance: Duration) -> Result<(), Refusal> {
    if now.timestamp().abs_diff(signed) > tolerance.as_secs() { Err(Refusal::Stale) } else { Ok(()) }
}

/// Whether one of the codes is that of one of the keys. Every pair is tried and compared in constant time.
fn any_fits<'k>(keys: impl IntoIterator<Item = &'k [u8]>, parts: &[&[u8]], codes: &[Vec<u8>]) -> bool {
    let mut found = false;
    for key in keys {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        parts.iter().for_each(|part| context.update(part));
        let expected = context.sign();
        for code in codes {
            found |= aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), code).is_ok();
        }
    }
    found
}

#[cfg(test)]
mod tests;
