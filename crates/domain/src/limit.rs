//! How a job says which shared rate limits it draws on.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One draw on one limit: `units` of the limit `name` for the bucket `key`.
///
/// The rate itself is data (table `rate_limit`), looked up as (org, name, key), then (org, name, `*`),
/// then (platform, name, `*`); with no row the draw is free.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LimitUse {
    /// The limit's name, such as `webhooks.endpoint`.
    pub name: Cow<'static, str>,
    /// Which bucket of it: a credential, an endpoint, a mailbox.
    pub key: String,
    /// How many units the job will use, at least 1.
    pub units: u32,
}

impl LimitUse {
    /// A draw of one unit.
    pub fn one(name: &'static str, key: impl Into<String>) -> Self {
        Self { name: Cow::Borrowed(name), key: key.into(), units: 1 }
    }
}
