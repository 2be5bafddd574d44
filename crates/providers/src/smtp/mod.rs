//! Mail by SMTP: one mail to one person, handed to the operator's mail server.
//!
//! The server is chosen by whoever runs Countersign and is trusted with the mail's content; TLS is required
//! before a password is sent, except to this machine. Each mail is text and HTML side by side, says that a
//! program wrote it, and carries the message id it was given, so a repeat can be recognised.
//!
//! Connections are kept for the next mail by [`SmtpClient`] itself and not by lettre's pool: there, a
//! conversation that was given up half-way goes back into the pool, and the late answer to one mail would
//! be taken for the answer to the next.
//!
//! What is deliberately absent: retries, templates, signing (DKIM is the mail server's), and delivery to
//! the recipient's own server.

mod client;
mod config;
mod connection;
mod fault;
mod message;

pub use client::SmtpClient;
pub use config::{Credentials, SmtpConfig, SmtpConfigError, TlsUse};
