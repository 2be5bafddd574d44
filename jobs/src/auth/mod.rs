//! Signing in through an identity provider: the half that talks to it, for the API reaches nothing outside.
//!
//! The API writes a flow, these jobs write what they learnt, the API reads it. Codes, verifiers and nonces are
//! sealed on the way and never in a payload, a log or a result.

mod begin_oidc;
mod finish_oidc;

use domain::JobError;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use store::StoreError;
use uuid::Uuid;

pub use begin_oidc::BeginOidc;
pub use finish_oidc::FinishOidc;

/// What a flow's values are sealed for, besides its id.
pub const FLOW_PURPOSE: &str = "oidc-flow";

/// Where the provider sends browsers back to, below our public address.
pub const CALLBACK_PATH: &str = "/v1/auth/oidc/callback";

/// Opens what the API sealed for one flow.
pub trait FlowSeals: Send + Sync + 'static {
    /// None when it was sealed by other keys, for another flow, or was changed.
    fn open(&self, flow: Uuid, sealed: &[u8]) -> Option<SecretString>;
}

/// What the API keeps of a flow until the browser is back; sealed as JSON.
#[derive(Serialize, Deserialize)]
pub struct FlowSecrets {
    /// Binds the ID token to this sign-in.
    pub nonce: String,
    /// Proves that whoever trades the code is who asked for it.
    pub verifier: String,
}

/// What came of a flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowOutcome {
    /// The provider vouches for somebody.
    Identity(domain::oidc::Identity),
    /// It does not, or could not be asked.
    Fault {
        /// Short, stable, `snake_case`.
        code: String,
        /// What happened and what to do, for people.
        message: String,
        /// Whether the provider gave no usable answer; it may next time.
        away: bool,
    },
}

/// A fault as the outcome of a flow.
fn outcome_of(fault: &domain::oidc::OidcFault) -> FlowOutcome {
    FlowOutcome::Fault {
        code: fault.code().to_owned(),
        message: fault.to_string(),
        away: matches!(fault, domain::oidc::OidcFault::Unreachable { .. }),
    }
}

fn store_fault(error: StoreError) -> JobError {
    match error {
        StoreError::NotFound(_) => {
            JobError::fail("flow_gone", "the sign-in is over; the person begins again")
        }
        error => JobError::retry("database_away", error),
    }
}
