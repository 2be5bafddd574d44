//! Names of the dispatcher's keys. All share one hash tag, so that a cluster keeps them together.

use std::sync::Arc;

use domain::{OrgId, WorkerId};

/// Builds key names under one namespace. The scripts build the same names from the prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { prefix: format!("{{{namespace}}}").into() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// One organisation's ready jobs in a lane: sorted set of ids.
    pub(crate) fn ready(&self, lane: &str, org: OrgId) -> Vec<u8> {
        self.with_org("ready", lane, org)
    }

    /// One organisation's running jobs in a capped lane: sorted set of ids by time taken.
    pub(crate) fn running(&self, lane: &str, org: OrgId) -> Vec<u8> {
        self.with_org("running", lane, org)
    }

    /// Organisations with ready jobs in a lane, longest unserved first.
    pub(crate) fn rotation(&self, lane: &str) -> String {
        format!("{}:orgs:{lane}", self.prefix)
    }

    /// A list holding a token when a sleeping worker should look at the lane.
    pub(crate) fn wake(&self, lane: &str) -> String {
        format!("{}:wake:{lane}", self.prefix)
    }

    /// The same for one worker, used by itself to leave its sleep.
    pub(crate) fn nudge(&self, worker: WorkerId) -> String {
        format!("{}:nudge:{worker}", self.prefix)
    }

    /// The generation marker.
    pub(crate) fn generation(&self) -> String {
        format!("{}:generation", self.prefix)
    }

    /// One bucket of a rate limit.
    pub(crate) fn limit(&self, bucket: &str) -> String {
        format!("{}:limit:{bucket}", self.prefix)
    }

    /// When rates were last edited.
    pub(crate) fn rates(&self) -> String {
        format!("{}:rates", self.prefix)
    }

    /// Organisations somebody watches: sorted set by time of expiry.
    pub(crate) fn watched(&self) -> String {
        format!("{}:watched", self.prefix)
    }

    /// One organisation's stream of changes.
    pub(crate) fn events(&self, org: OrgId) -> String {
        format!("{}:events:{org}", self.prefix)
    }

    fn with_org(&self, what: &str, lane: &str, org: OrgId) -> Vec<u8> {
        let mut key = format!("{}:{what}:{lane}:", self.prefix).into_bytes();
        key.extend_from_slice(org.0.as_bytes());
        key
    }
}
