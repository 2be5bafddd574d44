//! The audit log: who changed what, when and from where, in the transaction of the change.
//!
//! Refuses to change or delete an entry: no grant and no function for it exists.

mod entry;

pub use entry::{Entry, Subject};
