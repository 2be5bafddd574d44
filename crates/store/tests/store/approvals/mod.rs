//! Approvals against a real PostgreSQL, as the app's own role: what the database lets through whatever the
//! code above thought.

mod cheating;
mod deciding;
mod desk;
mod races;
