//! Mails about people's access: an invitation, a new password.
//!
//! A link is made here, where the mail is written, and goes nowhere else: not into a payload, a result or a log.
//! Every attempt makes another one, and the one before ends, so of several mails the newest works.

mod letter;
mod post;
mod send_invitation;
mod send_password_reset;

pub use send_invitation::SendInvitation;
pub use send_password_reset::SendPasswordReset;
