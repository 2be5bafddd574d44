//! Where an approval stands.

use std::str::FromStr;

/// Where an approval stands. Only a pending one can be decided; every other state is its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for decisions.
    Pending,
    /// Enough people approved; what it released is in the ledger.
    Approved,
    /// Somebody rejected it.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Its content was edited.
    Voided,
    /// Its maker or an owner took it back.
    Withdrawn,
}

/// A word that is no state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("“{0}” is no state; use pending, approved, rejected, expired, voided or withdrawn")]
pub struct UnknownState(pub String);

impl State {
    /// Every state.
    pub const ALL: &[Self] =
        &[Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Voided, Self::Withdrawn];

    /// As it is stored and written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Voided => "voided",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl TryFrom<String> for State {
    type Error = UnknownState;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
