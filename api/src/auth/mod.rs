//! Who is calling, and may they: bearer tokens, and extractors whose type states the permission.
//!
//! A handler that takes a [`Caller`] can't be reached without the permission in its type, so nobody has to
//! remember a check. What belongs to another organisation is not forbidden but absent: 404.

mod caller;
mod tokens;

pub(crate) use caller::{Caller, DeadWrite, JobsRead, JobsWrite, LanesWrite, LimitsWrite, SchedulesWrite};
pub(crate) use tokens::Tokens;
