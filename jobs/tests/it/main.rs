//! The kinds through the registry, as the door and the workers use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod how_to;
mod kinds;
mod mails;
mod redaction;
mod schema_errors;
mod stage;
mod versions;
mod webhooks;

// The how-to's file is written as it would stand in `jobs/src`.
use jobs::{Ctx, Job};
