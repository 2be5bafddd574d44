//! Who is calling, and may they: sessions, access tokens, API tokens, and extractors whose type states the
//! permission.
//!
//! A handler that takes a [`Caller`] can't be reached without the permission in its type, so nobody has to
//! remember a check. What belongs to another organisation is not forbidden but absent: 404.

pub(crate) mod access_tokens;
mod cache;
mod caller;
pub(crate) mod cookies;
pub(crate) mod csrf;
pub(crate) mod let_in;
pub(crate) mod origin;
pub mod passwords;
pub(crate) mod second_factor;
mod sessions;
pub(crate) mod slow;
mod tokens;
mod visitor;

pub(crate) use caller::{
    ApprovalsDecide, ApprovalsRead, ApprovalsRequest, ApprovalsRules, AuditRead, Caller, DeadWrite,
    HooksRead, HooksWrite, JobsRead, JobsWrite, LanesWrite, LimitsWrite, OrgWrite, PeopleRead, PeopleWrite,
    Person, SchedulesWrite, SecretsRead, SecretsWrite, TokensRead, TokensWrite,
};
pub(crate) use passwords::Passwords;
pub(crate) use sessions::Sessions;
pub(crate) use tokens::Tokens;
pub(crate) use visitor::Visitor;
