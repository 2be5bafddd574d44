//! Schedules against real servers: every statement is run, the app's as the app and the ticker's as the
//! engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catching_up;
mod changing;
mod doubled;
mod killed;
mod outage;
mod problems;
mod running_now;
mod servers;
mod stage;
mod tenants;
mod ticking;
