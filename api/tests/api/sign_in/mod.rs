//! Signing in, and what signed-in people do with their own account.

pub(crate) mod browser;
pub(crate) mod people;

mod bad_input;
mod csrf;
mod door;
mod elsewhere;
mod reset;
pub(crate) mod second_factor;
mod sessions;
