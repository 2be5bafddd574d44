//! When work happens: schedules as data, and the ticker that turns their ticks into jobs.
//!
//! [`cadence`] knows when a schedule ticks, [`table`] keeps the schedules, a [`Ticker`] fires them, and
//! [`run_now()`] and [`preview()`] are what people ask for besides. Any number of tickers may run: a tick's
//! job is enqueued in the transaction that moves the schedule on, under a key made of both, so each tick
//! fires once and there is no leader to lose.
//!
//! What it refuses to do: run jobs, decide who may touch a schedule (the caller's transaction is opened
//! for somebody, row-level security does the rest), or know any job kind (the registry does).

pub mod cadence;
mod error;
mod preview;
mod run_now;
mod schedule;
mod spec;
pub mod table;
pub mod tick;

pub use error::{FieldProblem, ScheduleError};
pub use preview::{MAX_PREVIEW, Preview, Tick, preview};
pub use run_now::{Asked, RunNow, run_now};
pub use schedule::{Problem, Schedule};
pub use spec::{MAX_JITTER_MS, MAX_NAME_CHARS, Patch, Spec};
pub use tick::{Ticker, TickerConfig};
