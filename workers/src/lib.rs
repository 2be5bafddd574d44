//! Who does the work: one apalis worker a lane over the queue's backend, kinds from the registry, real
//! providers wired to the ports that jobs see, and the order in which a worker process leaves.
//!
//! Refuses to decide how a failed run goes on: that is stated by the job and carried out by the queue.

mod audit;
mod crew;
mod mail;
mod oidc;
mod ports;
mod progress;
mod runner;
mod secrets;
mod vault_port;

pub use audit::AuditKeyPort;
pub use crew::{Crew, Run, lane_worker};
pub use mail::MailPort;
pub use oidc::{FlowSealPort, OidcPort};
pub use ports::WebhookPort;
pub use runner::Runner;
pub use secrets::{DerivedSecrets, KeyError};
pub use vault_port::VaultPort;
