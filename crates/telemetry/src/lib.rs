//! Logs and metric declarations
