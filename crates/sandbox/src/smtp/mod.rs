//! A mail server that keeps what it is given and delivers nothing.
//!
//! It holds clients to RFC 5321 more strictly than most servers do (CRLF line ends, line and message limits,
//! the order of commands), so that what passes here passes elsewhere. Certain recipients make it misbehave
//! on purpose; see [`Fault`].
//!
//! Deliberately absent: TLS, login, relaying, and queues.

mod catcher;
mod command;
mod fault;
mod keep;
mod session;
mod wire;

pub use catcher::{CatcherError, CatcherOptions, MailCatcher};
pub use fault::Fault;
pub use keep::CaughtMail;
