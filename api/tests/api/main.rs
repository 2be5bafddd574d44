//! The API over HTTP, against real PostgreSQL and Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod app;
mod approvals;
mod audit;
mod auth;
mod batch;
mod connections;
mod dead;
mod enqueue;
mod events;
mod hooks;
mod keys;
mod lanes;
mod limits;
mod list;
mod outages;
mod pages;
mod people;
mod refusals;
mod schedules;
mod secrets;
mod show;
mod sign_in;
