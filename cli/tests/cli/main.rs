//! The real binary against real servers: every command, what it refuses, processes that serve and drain,
//! and `dev` from start to stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acting;
mod admin;
mod dev;
mod hooks;
mod keys;
mod leaks;
mod looking;
mod oidc;
mod recorded;
mod refusals;
mod serving;
mod terminal;
mod tools;
