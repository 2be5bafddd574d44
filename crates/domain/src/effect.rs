//! What a job does to the world outside, declared by its kind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a job's effect reaches. It sets the retry default, what a replay needs, and retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Reads from elsewhere; running it twice costs only time.
    Read,
    /// Changes data that is ours or can be put back.
    Write,
    /// Reaches a person or a foreign system and can't be called back.
    Send,
    /// Moves money.
    Money,
}

/// What somebody must do before a finished or dead job of a class may run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayNeeds {
    /// Nothing more than asking for it.
    Nothing,
    /// `confirm: true` in the request, after looking at the dry run.
    Confirmation,
    /// An approval or a reconciliation first; a plain replay is refused.
    Approval,
}

impl EffectClass {
    /// What a replay of such a job needs.
    #[must_use]
    pub fn replay_needs(self) -> ReplayNeeds {
        match self {
            Self::Read | Self::Write => ReplayNeeds::Nothing,
            Self::Send => ReplayNeeds::Confirmation,
            Self::Money => ReplayNeeds::Approval,
        }
    }

    /// Days a finished job of this class is kept when its kind says nothing else.
    #[must_use]
    pub fn retention_days(self) -> u16 {
        match self {
            Self::Read => 7,
            Self::Write => 30,
            Self::Send => 90,
            Self::Money => 3650,
        }
    }

    /// The class in lower case, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Send => "send",
            Self::Money => "money",
        }
    }
}
