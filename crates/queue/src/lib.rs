//! The queue engine: a ledger in PostgreSQL that remembers every job, a dispatcher in Redis that can be
//! lost at any moment, workers that hold jobs by a heartbeat, and an apalis backend on top.
//!
//! What it promises: a job is committed before its caller is told; losing Redis loses nothing; a job that
//! another worker took can't be completed by the one that had it; nothing grows with the backlog.
//!
//! What it refuses to do: know any job kind, call any provider, decide who may do what. Kinds come in
//! through [`KindBook`]; permission is the caller's business; handlers run behind [`backend`].

pub mod backend;
mod batcher;
pub mod dispatch;
mod engine;
mod error;
pub mod events;
pub mod kind;
pub mod ledger;
pub mod limiter;
pub mod new_job;
pub mod ops;
pub mod tend;
pub mod worker;

pub use engine::{Queue, QueueConfig};
pub use error::{EnqueueError, OpsError, QueueError};
pub use kind::{KindBook, KindPolicy};
pub use new_job::{Enqueued, NewJob};
