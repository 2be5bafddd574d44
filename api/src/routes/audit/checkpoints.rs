//! `GET /v1/audit/checkpoints`: where the chain stood, signed.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Tx;
use utoipa::ToSchema;

use super::view::encode;
use crate::auth::{AuditRead, Caller};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// Which checkpoints.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CheckpointParams {
    /// Only those of links before this one.
    before_seq: Option<i64>,
    /// Checkpoints wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A signed statement of where the chain stood.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckpointItem {
    /// The link it speaks of.
    seq: i64,
    /// That link's hash, in hexadecimal.
    hash: String,
    /// When it was signed.
    at: DateTime<Utc>,
    /// The key that signed.
    key_id: String,
    /// The exact text that is signed.
    message: String,
    /// Ed25519 signature of it, in base64.
    #[schema(value_type = String)]
    signature: Value,
}

/// Checkpoints, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckpointList {
    /// The checkpoints. Keep them elsewhere: they show what somebody changed who could change the database.
    checkpoints: Vec<CheckpointItem>,
}

/// List the audit log's checkpoints
#[utoipa::path(
    get,
    path = "/v1/audit/checkpoints",
    tag = "audit",
    operation_id = "listAuditCheckpoints",
    security(("token" = ["audit:read"])),
    params(CheckpointParams),
    responses((status = 200, description = "Checkpoints, newest first.", body = CheckpointList), Reads),
)]
pub(crate) async fn checkpoints(
    State(api): State<Api>,
    caller: Caller<AuditRead>,
    Params(params): Params<CheckpointParams>,
) -> Result<Json<CheckpointList>, Problem> {
    let limit = params.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err(Problem::new(Code::BadQuery, "limit: must lie between 1 and 200"));
    }
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let found = store::audit::checkpoints(&mut tx, params.before_seq, limit.into()).await?;
    let checkpoints = found
        .into_iter()
        .map(|one| {
            let mut written = serde_json::to_value(&one).map_err(Problem::internal)?;
            Ok(CheckpointItem {
                message: one.message(),
                seq: one.seq,
                hash: encode(&one.hash),
                at: one.at,
                key_id: one.key_id,
                signature: written["signature"].take(),
            })
        })
        .collect::<Result<_, Problem>>()?;
    Ok(Json(CheckpointList { checkpoints }))
}
