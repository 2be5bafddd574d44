//! Approvals: asking for one, deciding, and the rules that say whose decision counts.
//!
//! What may be decided by whom, and what a decision releases, is held by the database
//! (`migrations/0007_approvals.sql`); the functions here put the questions and write the audit log.
//! Refuses to enqueue: what an approval releases is handed to the caller, who enqueues it in the same
//! transaction; without that the transaction does not commit.

mod ask;
mod decide;
mod expiry;
mod guard;
mod list;
mod rule;
mod show;
mod state;

pub use ask::{Ask, Asked, ask, edit, renew};
pub use decide::{DecideError, Decided, Decision, Released, decide, withdraw};
pub use expiry::{Expired, expire_due};
pub use guard::{Guarded, declare_guarded, guarded_by_rule, needs_approval};
pub use list::{Filter, Summary, list};
pub use rule::{DEFAULT_EXPIRY_S, Rule, RuleSpec, delete_rule, put_rule, rules};
pub use show::{DecisionMade, Detail, Editor, Objection, detail, visible};
pub use state::{State, UnknownState};
