//! Reading the ledger: lists, search, one job with its story, counts, dead letters.
//!
//! Everything is read from `job` (what is open) and `job_history` (what ended) together, newest id first.
//! No read may run away on a large ledger: lists with filters look at a bounded stretch of the newest
//! jobs a page, say how far they looked, and go on from there with the next page.
//!
//! Refuses to change a job: that is the engine's business (`queue::ops`).

mod children;
mod dead;
mod detail;
mod filter;
mod list;
mod room;
mod row;
mod search;
mod stats;

pub use children::Child;
pub use dead::{DeadFilter, dead};
pub use detail::{Attempt, BatchCounts, Detail, Event, LaneModes, detail};
pub use filter::Filter;
pub use list::{MAX_PAGE, Page, PageAsk, list};
pub use room::{Place, place, rooms, visible};
pub use row::{JobRow, StateText};
pub use search::{Candidate, MAX_QUERY_CHARS, search};
pub use stats::{FinishedStats, LiveStats, Stats, stats};
