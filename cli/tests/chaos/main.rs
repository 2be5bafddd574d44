//! Chaos: real `countersign` processes on real servers, under load, while something is taken from them.
//!
//! Whatever happens, every scenario ends with the same question ([`ledger::verdict`]): did each job whose
//! enqueue was acknowledged finish exactly once in the ledger, and did its side effect happen? The side
//! effect is a webhook to a receiver in this process, which counts deliveries by event.
//!
//! One scenario runs at a time, for they measure. `COUNTERSIGN_CHAOS=long` makes ten times the work of it.
//! Only processes that were started here are ever signalled.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod figures;
mod ledger;
mod load;
mod processes;
mod receiver;
mod stage;

mod big_neighbour;
mod bulk_flood;
mod postgres_restarted;
mod redis_away;
mod redis_emptied;
mod rolling_restart;
mod schedulers_doubled;
mod worker_killed;
mod worker_paused;
