//! The audit log: that it holds what was done, and that nobody changes it unseen.

mod chain;
mod export;
mod jobs;
mod look;
mod tamper;

use std::sync::Arc;

use domain::OrgId;
use serde_json::json;
use store::audit::{self, Checkpoint, Entry, Report, Signer};
use store::{Store, Tx};
use vault::CheckpointKey;

/// The key whose seed is 32 times `seed`.
fn key(seed: u8) -> Arc<CheckpointKey> {
    use base64::Engine;
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend([seed; 32]);
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    Arc::new(CheckpointKey::from_pem(&pem, "test").unwrap())
}

fn signer(key: &Arc<CheckpointKey>) -> Signer {
    let signing = key.clone();
    Signer::new(key.id(), move |message| {
        signing.sign(message).map(|signature| signature.to_vec()).map_err(|error| error.to_string())
    })
}

/// Writes an entry as the platform and commits it.
async fn write(store: &Store, org: OrgId, number: usize) {
    let mut tx = Tx::system(store, org, "test").await.unwrap();
    let entry = Entry::new("lane.pause", "lane", format!("lane-{number}"))
        .before(json!({ "mode": "open" }))
        .after(json!({ "mode": "paused", "note": "\u{e9}\u{1f600} \"x\"" }))
        .reason("because");
    tx.record(entry).await.unwrap();
    tx.commit().await.unwrap();
}

/// Looks through the log with the key of seed 1.
async fn verified(store: &Store, org: OrgId, kept: Vec<Checkpoint>) -> Report {
    let ours = key(1);
    let check = move |id: &str, message: &[u8], signature: &[u8]| {
        (id == ours.id()).then(|| ours.public().verify(message, signature))
    };
    audit::verify(store, org, kept, Some(&check), &|_, _| {}).await.unwrap()
}

fn kinds(report: &Report) -> Vec<&'static str> {
    let mut kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    kinds.dedup();
    kinds
}
