//! The store against a real PostgreSQL: every statement is run, as the app's own role.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod approvals;
mod audit;
mod database;
mod definers;
mod jobs;
mod matrix;
mod migrations;
mod people;
mod tenants;
