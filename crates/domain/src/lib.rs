//! Words and rules of Countersign: ids, roles and permissions, job states, effect classes, retry arithmetic,
//! job outcomes, clocks, and the port traits through which jobs reach the outside world.
//!
//! Refuses to do IO: no SQL, no sockets, no environment. Time and randomness come in as arguments.

pub mod clock;
pub mod effect;
pub mod ids;
pub mod limit;
pub mod mail;
pub mod oidc;
pub mod outcome;
pub mod permission;
pub mod ports;
pub mod retry;
pub mod state;

pub use clock::{Clock, SystemClock};
pub use effect::EffectClass;
pub use ids::{
    AccountId, ActorId, ApprovalId, BatchId, HookEndpointId, HookEventId, InvitationId, JobId, OrgId,
    ScheduleId, SecretId, SessionId, TokenId, WorkerId, WorkspaceId,
};
pub use limit::LimitUse;
pub use outcome::{Done, JobError, WaitReason};
pub use permission::{Permission, Permissions, Role};
pub use retry::RetryPolicy;
pub use state::JobState;

/// Lowest and highest priority a job may carry; higher is taken sooner, 0 is ordinary.
pub const PRIORITY_RANGE: std::ops::RangeInclusive<i16> = -100..=100;

/// Largest payload a job may carry, in bytes of JSON text.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
