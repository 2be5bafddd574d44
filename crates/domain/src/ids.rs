//! Identifiers, one type a noun, so that an organisation can never be passed where a job is meant.
//!
//! All are UUIDs; those of things that are made often are version 7, so that id order is age order.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: a version 7 UUID of this moment.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// A customer company (tenant).
    OrgId
);
id!(
    /// One team's room inside an organisation.
    WorkspaceId
);
id!(
    /// Whoever acts: a token, a person, the platform itself.
    ActorId
);
id!(
    /// An API token (not its secret).
    TokenId
);
id!(
    /// One unit of queued work.
    JobId
);
id!(
    /// A set of jobs with one completion callback.
    BatchId
);
id!(
    /// One life of a worker process; a process that lost its leases gets a new one.
    WorkerId
);
id!(
    /// A cron schedule.
    ScheduleId
);
id!(
    /// A person's sign-in, whatever organisations it belongs to.
    AccountId
);
id!(
    /// One sign-in of one person, on one device.
    SessionId
);
id!(
    /// An invitation into an organisation.
    InvitationId
);
id!(
    /// One request that somebody countersign.
    ApprovalId
);
id!(
    /// A sealed credential (not its value).
    SecretId
);
id!(
    /// An address at which one provider's webhooks arrive.
    HookEndpointId
);
id!(
    /// One webhook that arrived.
    HookEventId
);
