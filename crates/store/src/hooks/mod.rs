//! Inbound webhooks: the addresses at which they arrive, and what arrived.
//!
//! What arrives is kept as it came; it is marked, never changed. Refuses to judge signatures: whoever stores
//! an event has done that.

mod arrivals;
mod endpoints;
mod events;
mod work;

pub use arrivals::{Arrived, Door, NewEvent, look_up, store};
pub use endpoints::{
    Endpoint, EndpointPatch, NewEndpoint, change, create, endpoint, endpoint_orgs, list, reseal, sealed,
    set_secrets,
};
pub use events::{EventDetail, EventFilter, EventPage, EventRow, event, events, replay};
pub use work::{ToProcess, mark_failed, mark_processed, to_process};

use domain::HookEndpointId;

/// What the keys of endpoints' secrets are for, by name.
pub const SEAL_PURPOSE: &str = "hook";

/// What an endpoint's sealed secret is bound to: moved to another endpoint, it does not open.
#[must_use]
pub fn seal_context(endpoint: HookEndpointId) -> Vec<u8> {
    [b"hook_endpoint".as_slice(), endpoint.0.as_bytes()].concat()
}
