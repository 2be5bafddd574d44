//! A loopback stand-in for the outside world: servers that speak the real wire formats, for development,
//! the demo and tests.
//!
//! Refuses to listen anywhere but on loopback, and to be seen by product code: the API, the jobs and the
//! workers can't import it, so none of them can know whether it is talking to a sandbox.

pub mod smtp;
