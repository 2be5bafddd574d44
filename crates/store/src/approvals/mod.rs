//! Approvals: what waits to be countersigned, who decided what about exactly which content.
//!
//! Refuses to decide: the rules stand in the database's own triggers.
