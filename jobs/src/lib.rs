//! The work that exists: one file a kind, one registry.
//!
//! A kind is a type that implements [`Job`]: its payload, its policy and what it does. [`Registry`]
//! knows all of them: it checks payloads at the door ([`Registry::prepare`]), runs them
//! ([`Registry::run`]), hides what must not be shown ([`Registry::redact`]) and lists them
//! ([`Registry::catalogue`]). How to add one: `docs/how-to/add-a-job-kind.md`.
//!
//! What it refuses to do: call a provider other than through a port in [`Ports`], hold a secret in a
//! payload, decide when or where a job runs.

pub mod audit;
pub mod auth;
mod ctx;
mod entry;
mod field_errors;
pub mod hooks;
mod job;
mod marks;
pub mod people;
mod prepare;
mod redact;
mod registry;
mod schema;
pub mod system;
pub mod webhooks;

pub use ctx::{Ctx, JobInfo, Ports, ProgressSink};
pub use job::Job;
pub use prepare::{PrepareError, new_job};
pub use redact::MASK;
pub use registry::{KindInfo, Registry, RegistryError, RetryInfo};
pub use schema::{FieldError, MAX_FIELD_ERRORS};
