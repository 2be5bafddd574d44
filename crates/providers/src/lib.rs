//! Clients for outside systems, one folder each
