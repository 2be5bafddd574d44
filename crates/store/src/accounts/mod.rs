//! Accounts and their sign-ins: passwords, second factors, sessions, resets, and how guessing is slowed.
//!
//! Refuses to hash or seal anything: it keeps what it is given.
