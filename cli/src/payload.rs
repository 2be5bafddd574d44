//! Payloads from the command line, checked by their kind before anything is enqueued.

use std::io::Read;

use anyhow::Context;
use domain::OrgId;
use jobs::{PrepareError, Registry};
use queue::NewJob;
use serde_json::value::RawValue;

use crate::failure::usage;

/// JSON text given as it is, as `@file`, or as `-` for standard input.
pub(crate) fn read(text: &str) -> anyhow::Result<Box<RawValue>> {
    let json = if text == "-" {
        let mut json = String::new();
        std::io::stdin().read_to_string(&mut json).context("standard input can't be read")?;
        json
    } else if let Some(path) = text.strip_prefix('@') {
        std::fs::read_to_string(path).with_context(|| format!("{path} can't be read"))?
    } else {
        text.to_owned()
    };
    RawValue::from_string(json.trim().to_owned())
        .map_err(|error| usage(format!("the payload is no JSON: {error}")))
}

/// A job of that payload; what does not fit is told field by field.
pub(crate) fn prepare(
    registry: &Registry,
    org: OrgId,
    kind: &str,
    version: Option<i16>,
    payload: Box<RawValue>,
) -> anyhow::Result<NewJob> {
    registry.prepare(org, kind, version, payload).map_err(|error| match &error {
        PrepareError::Invalid { kind, version, errors } => {
            let fields: Vec<String> = errors
                .iter()
                .map(|field| {
                    format!(
                        "{} {}",
                        if field.pointer.is_empty() { "it" } else { &field.pointer },
                        field.message
                    )
                })
                .collect();
            anyhow::anyhow!("the payload does not fit {kind}@{version}: {}", fields.join("; "))
        }
        PrepareError::UnknownKind { kind, near } => {
            let known: Vec<_> = registry.catalogue().iter().map(|kind| kind.kind).collect();
            let names = if near.is_empty() { known.join(", ") } else { near.join(" or ") };
            anyhow::anyhow!("there is no job kind “{kind}”; did you mean {names}?")
        }
        _ => error.into(),
    })
}
