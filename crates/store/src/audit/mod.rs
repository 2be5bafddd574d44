//! The audit log: who changed what, when and from where, in the transaction of the change.
//!
//! Entries are written by [`Tx::record`](crate::Tx::record) and by triggers on the ledger. Once committed
//! they are linked into a chain of hashes, one an organisation ([`Chainer`]); the scheduler links what dead
//! processes left and signs where the chain stands ([`Keeper`]). [`verify()`] looks whether anything was
//! changed since; [`Checker`] does the same for an export, without a database.
//!
//! Refuses to change or delete an entry: no grant and no function for it exists. Refuses to hold a key:
//! signing and checking signatures are handed in.

mod chain;
mod chainer;
mod checker;
mod checkpoint;
mod csv;
mod entry;
mod export;
mod keeper;
mod kinds;
mod list;
mod report;
mod verify;

pub use chain::{Hash, genesis, link};
pub use chainer::Chainer;
pub use checker::{CheckSignature, Checker};
pub use checkpoint::{Checkpoint, Signer, checkpoint, checkpoints, message};
pub use csv::{CSV_HEAD, csv_row};
pub use entry::{Entry, Subject};
pub use export::{Counts, ExportLine, Linked, Range, linked, range, verify_export};
pub use keeper::{Keeper, extend, orgs};
pub use kinds::declare_kinds;
pub use list::{Filter, Recorded, get, list};
pub use report::{Problem, Report};
pub use verify::verify;
