//! Webhooks that arrive: how each provider's signatures read, and the job that processes what arrived.
//!
//! A provider is a file below `signature/` and a line in its list; what is done with its events is a
//! [`Handler`] and a line in the list of `handlers.rs`.

mod handlers;
mod process_event;
pub mod signature;

pub use handlers::{Event, Handler};
pub use process_event::ProcessEvent;
