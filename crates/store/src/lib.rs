//! Tenant data: all SQL outside the engine, as plain functions over transactions opened for somebody.
//!
//! A transaction is had only by naming who it is for ([`Tx::for_actor`]) or why the platform itself acts
//! ([`Tx::system`]); row-level security in PostgreSQL does the rest, so a forgotten `WHERE org_id` shows
//! nothing instead of everything.
//!
//! Refuses to enqueue, claim or finish jobs (that is the `queue` crate), to know job kinds, and to choose
//! HTTP statuses.

pub mod accounts;
mod actor;
pub mod approvals;
pub mod audit;
mod constraints;
mod cursor;
mod error;
pub mod hooks;
pub mod jobs;
pub mod migrate;
pub mod orgs;
pub mod people;
mod pool;
pub mod secrets;
pub mod tokens;
mod tx;

pub use actor::{Actor, InSession, Origin, Standing, Workspaces};
pub use cursor::{Cursor, first_id_at, time_of};
pub use error::StoreError;
pub use pool::{Store, StoreConfig};
pub use tx::{AccountTx, Tx};
