//! How fast anybody may guess. Buckets are taken before any hashing, and alike whether there is such an
//! account or not.
//!
//! A browser that signed in to the account before has a bucket of its own, so that strangers can slow each
//! other but not the account's owner.

use std::net::IpAddr;
use std::time::Duration;

use domain::AccountId;
use ipnet::IpNet;
use store::accounts::devices;
use store::accounts::throttle::{self, Bucket, Pace};

use super::visitor::Visitor;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// Strangers at one account.
const ACCOUNT: Pace = Pace::new(10, 20);
/// One address, at whatever accounts.
const ADDRESS: Pace = Pace::new(20, 6);
/// A known browser at its account.
const DEVICE: Pace = Pace::new(10, 20);
/// Codes after the right password. Three of a million are right, so this takes years.
const FACTOR: Pace = Pace::new(5, 300);
/// A signed-in person's own password.
const OWN_PASSWORD: Pace = Pace::new(5, 60);
/// Reset mails to one account, and asked for from one address.
const RESET_ACCOUNT: Pace = Pace::new(3, 600);
const RESET_ADDRESS: Pace = Pace::new(10, 60);
/// Entries about refused sign-ins to one account.
const REFUSAL: Pace = Pace::new(1, 60);

/// A try at an account's password.
pub(crate) async fn sign_in(api: &Api, visitor: &Visitor, email: &str) -> Result<(), Problem> {
    let now = api.now();
    if let Some(device) = visitor.device()
        && devices::is_known(api.store(), email, &device, now).await?
    {
        let of = [device.as_slice(), email.as_bytes()].concat();
        return admit(api, &[Bucket::new("device", &of, DEVICE)]).await;
    }
    let buckets = [address(visitor, "address", ADDRESS), Bucket::new("account", email.as_bytes(), ACCOUNT)];
    admit(api, &buckets).await
}

/// A try at following a link: the address only, for there is no account in sight.
pub(crate) async fn link(api: &Api, visitor: &Visitor) -> Result<(), Problem> {
    admit(api, &[address(visitor, "address", ADDRESS)]).await
}

/// A wish for a reset mail.
pub(crate) async fn reset(api: &Api, visitor: &Visitor, email: &str) -> Result<(), Problem> {
    let buckets = [
        address(visitor, "reset-address", RESET_ADDRESS),
        Bucket::new("reset-account", email.as_bytes(), RESET_ACCOUNT),
    ];
    admit(api, &buckets).await
}

/// A try at a code of the second factor. Give it back with [`right_code`].
pub(crate) async fn code(api: &Api, account: AccountId) -> Result<(), Problem> {
    admit(api, &[factor(account)]).await
}

/// The code was right, so it was no guess.
pub(crate) async fn right_code(api: &Api, account: AccountId) {
    if let Err(error) = throttle::forgive(api.store(), &factor(account)).await {
        tracing::debug!(%error, "a try was not given back");
    }
}

/// A try at one's own password, by somebody who is signed in.
pub(crate) async fn own_password(api: &Api, account: AccountId) -> Result<(), Problem> {
    admit(api, &[Bucket::new("own-password", account.0.as_bytes(), OWN_PASSWORD)]).await
}

/// Whether a refused sign-in is written down now: a flood must not fill the audit log.
pub(crate) async fn records_refusal(api: &Api, account: AccountId) -> bool {
    let bucket = Bucket::new("refusal", account.0.as_bytes(), REFUSAL);
    matches!(throttle::admit(api.store(), &[bucket], api.now()).await, Ok(None))
}

async fn admit(api: &Api, buckets: &[Bucket]) -> Result<(), Problem> {
    match throttle::admit(api.store(), buckets, api.now()).await? {
        None => Ok(()),
        Some(wait) => Err(slowed(wait)),
    }
}

fn slowed(wait: Duration) -> Problem {
    Problem::new(Code::SignInSlowed, "too many tries; wait as long as Retry-After says, then try again")
        .retry_after(wait)
}

fn factor(account: AccountId) -> Bucket {
    Bucket::new("factor", account.0.as_bytes(), FACTOR)
}

/// One IPv4 address, or one IPv6 network of 64 bits, which one person has all of.
fn address(visitor: &Visitor, sort: &str, pace: Pace) -> Bucket {
    let network = visitor.origin.address.map(|address| match address {
        IpAddr::V4(_) => address.to_string(),
        IpAddr::V6(_) => IpNet::new(address, 64).map_or(address, |net| net.network()).to_string(),
    });
    Bucket::new(sort, network.unwrap_or_default().as_bytes(), pace)
}
