//! Every kind this program knows, in one list.
//!
//! Erases the payload types and does nothing more: no clock, no queue, no provider. A kind that is
//! listed twice, is misnamed or has a schema that can't be used is refused when the list is built.

use std::collections::BTreeMap;

use domain::effect::ReplayNeeds;
use domain::{Done, EffectClass, JobError, LimitUse};
use queue::{KindBook, KindPolicy};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::entry::Entry;
use crate::{Ctx, Job, audit, auth, hooks, people, system, webhooks};

/// A list of kinds that can't be used as it stands: a mistake in code, found at start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two types claim one name.
    #[error("the kind {0} is registered twice; give one of them another name")]
    Twice(&'static str),
    /// The name does not read `area.verb_object`.
    #[error("“{0}” is no kind name; write lower-case words with a dot between, such as reports.build_daily")]
    Name(&'static str),
    /// A version, attempt count or timeout that makes no sense.
    #[error("the kind {kind}: {problem}")]
    Policy {
        /// The kind.
        kind: &'static str,
        /// What to change.
        problem: &'static str,
    },
    /// The payload's schema can't be used.
    #[error("the payload schema of {kind}: {problem}")]
    Schema {
        /// The kind.
        kind: &'static str,
        /// What the compiler says.
        problem: String,
    },
}

/// What the catalogue says of a kind.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KindInfo {
    /// The kind's name.
    pub kind: &'static str,
    /// One sentence: what it does.
    pub summary: &'static str,
    /// Newest payload version.
    pub version: i16,
    /// Oldest payload version it still takes.
    pub oldest_version: i16,
    /// The lane its jobs use unless the caller names another.
    pub lane: &'static str,
    /// What it does to the world.
    pub effect: EffectClass,
    /// What a replay of one of its jobs needs.
    pub replay_needs: ReplayNeeds,
    /// Longest run of one attempt, in milliseconds.
    pub timeout_ms: u64,
    /// How it is tried again.
    pub retry: RetryInfo,
    /// Days its finished jobs are kept.
    pub retention_days: u16,
    /// JSON Schema (draft 2020-12) of the newest payload.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// A retry policy as the catalogue shows it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct RetryInfo {
    /// Attempts in all.
    pub max_attempts: i16,
    /// Upper bound of the first wait, in milliseconds.
    pub base_ms: u64,
    /// Growth of that bound with each further attempt.
    pub factor: f64,
    /// No bound grows beyond this, in milliseconds.
    pub cap_ms: u64,
}

/// Knows every kind.
#[derive(Default)]
pub struct Registry {
    entries: BTreeMap<&'static str, Entry>,
}

impl Registry {
    /// Every shipped kind.
    ///
    /// # Errors
    /// Only when a kind's own code is wrong; a test holds that it is not.
    pub fn standard() -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        registry.add::<people::SendInvitation>()?;
        registry.add::<people::SendPasswordReset>()?;
        registry.add::<audit::VerifyLog>()?;
        registry.add::<auth::BeginOidc>()?;
        registry.add::<auth::FinishOidc>()?;
        registry.add::<hooks::ProcessEvent>()?;
        registry.add::<system::Echo>()?;
        registry.add::<system::Flaky>()?;
        registry.add::<system::Noop>()?;
        registry.add::<system::Panic>()?;
        registry.add::<system::Slow>()?;
        registry.add::<webhooks::DeliverWebhook>()?;
        Ok(registry)
    }

    /// Lists one more kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add<J: Job>(&mut self) -> Result<(), RegistryError> {
        if self.entries.contains_key(J::KIND) {
            return Err(RegistryError::Twice(J::KIND));
        }
        self.entries.insert(J::KIND, Entry::of::<J>()?);
        Ok(())
    }

    /// Runs one job to its end.
    ///
    /// Answers `unknown_kind` or `payload_invalid`, both permanent, where nothing can be run. Time limit
    /// and panics are the worker's business.
    ///
    /// # Errors
    /// What the job decided.
    pub async fn run(
        &self,
        kind: &str,
        version: i16,
        payload: &RawValue,
        ctx: &Ctx,
    ) -> Result<Done, JobError> {
        let Some(entry) = self.entry(kind).filter(|entry| entry.takes(version)) else {
            let message = "this worker has no handler for the kind at this version; \
                           roll out a version that has it, then replay";
            return Err(JobError::fail("unknown_kind", message));
        };
        let running = match entry.current(version, payload) {
            Some(text) => (entry.start)(&text, ctx).map_err(|misfit| entry.invalid(&text, &misfit)),
            None => Err(JobError::fail(
                "payload_invalid",
                format_args!(
                    "the payload of version {version} can't be brought to the newest; edit and replay, or discard"
                ),
            )),
        };
        running?.await
    }

    /// Every kind for people, by name.
    #[must_use]
    pub fn catalogue(&self) -> Vec<KindInfo> {
        self.entries.values().map(Entry::info).collect()
    }

    pub(crate) fn entry(&self, kind: &str) -> Option<&Entry> {
        self.entries.get(kind)
    }

    /// At most three kinds whose name resembles `kind`.
    pub(crate) fn near(&self, kind: &str) -> Vec<&'static str> {
        // The comparison is quadratic; no name is that long.
        if kind.len() > 200 {
            return Vec::new();
        }
        let wanted = kind.to_lowercase();
        let likeness = |known: &str| {
            let whole = strsim::jaro_winkler(known, &wanted);
            let last = known.rsplit('.').next().unwrap_or(known);
            if last == wanted { 1.0 } else { whole }
        };
        let mut near: Vec<_> = self
            .entries
            .keys()
            .map(|known| (likeness(known), *known))
            .filter(|(likeness, _)| *likeness >= 0.85)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.into_iter().take(3).map(|(_, known)| known).collect()
    }
}

impl KindBook for Registry {
    fn policy(&self, kind: &str, version: i16) -> Option<&KindPolicy> {
        self.entry(kind)?.policy(version)
    }

    fn limits(&self, kind: &str, version: i16, payload: &RawValue) -> Vec<LimitUse> {
        let Some(entry) = self.entry(kind).filter(|entry| entry.takes(version)) else {
            return Vec::new();
        };
        entry.current(version, payload).map(|text| (entry.limits)(&text)).unwrap_or_default()
    }

    fn all(&self) -> Vec<&KindPolicy> {
        self.entries.values().flat_map(|entry| entry.older.iter().chain([&entry.newest])).collect()
    }
}
