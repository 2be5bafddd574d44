//! Clients for the systems outside this process, one folder each.
//!
//! A client here speaks one wire format and reports what happened in typed
//! outcomes and errors. It knows no tenant, no ledger and no retry schedule:
//! whoever calls it decides what an outcome means.

pub mod oidc;
pub mod smtp;
pub mod webhook;
