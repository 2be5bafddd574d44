//! People in an organisation: its members, those who are invited, and the rooms they are given.
//!
//! Refuses to know passwords, sessions and second factors (see [`crate::accounts`]), and to write mails: a
//! worker does, with a link whose token only it has seen.

pub mod invitations;
pub mod joining;
pub mod members;
pub(crate) mod page;
pub mod rooms;
pub mod workspaces;

pub use page::{PAGE_LIMIT, Page};
