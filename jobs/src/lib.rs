//! The work that exists: one file a kind
