//! Which kinds of jobs need an approval, known well enough to refuse early.
//!
//! What moves money always does; what an organisation's own rules guard is read again every few seconds. The
//! ledger's own trigger decides in the end: this only spares it, and other callers' commits, the refusal.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::{EffectClass, OrgId};
use jobs::Registry;
use queue::KindBook;
use store::{Store, StoreError};

use crate::problem::{Code, Problem};

/// How long what was read is trusted without reading again.
const FRESH: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Read {
    at: Option<Instant>,
    rules: Arc<HashMap<OrgId, HashSet<String>>>,
}

struct Inner {
    store: Store,
    money: HashSet<&'static str>,
    read: RwLock<Read>,
    reading: AtomicBool,
}

/// Knows which kinds need an approval. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guards(Arc<Inner>);

impl Guards {
    pub(crate) fn new(store: Store, registry: &Registry) -> Self {
        Self(Arc::new(Inner {
            store,
            money: registry.all().into_iter().filter(moves_money).map(|policy| policy.kind).collect(),
            read: RwLock::default(),
            reading: AtomicBool::new(false),
        }))
    }

    /// Whether jobs of the kind need an approval, as far as is known here.
    pub(crate) fn needs(&self, org: OrgId, kind: &str) -> bool {
        if self.0.money.contains(kind) {
            return true;
        }
        let (at, rules) = {
            let read = self.0.read.read().unwrap_or_else(PoisonError::into_inner);
            (read.at, read.rules.clone())
        };
        if at.is_none_or(|at| at.elapsed() > FRESH) && !self.0.reading.swap(true, Ordering::AcqRel) {
            let guards = self.clone();
            tokio::spawn(async move {
                if let Err(error) = guards.reload().await {
                    tracing::debug!(%error, "rules of approval not read; the last ones stay in force");
                }
                guards.0.reading.store(false, Ordering::Release);
            });
        }
        rules.get(&org).is_some_and(|kinds| kinds.contains(kind))
    }

    /// Refuses a job that may only enter the ledger by an approval.
    pub(crate) fn check(&self, org: OrgId, kind: &str) -> Result<(), Problem> {
        if self.needs(org, kind) { Err(required(kind)) } else { Ok(()) }
    }

    /// Reads the organisations' rules, now.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let at = Some(Instant::now());
        let mut rules: HashMap<OrgId, HashSet<String>> = HashMap::new();
        for guarded in store::approvals::guarded_by_rule(&self.0.store).await? {
            rules.entry(guarded.org_id).or_default().insert(guarded.kind);
        }
        *self.0.read.write().unwrap_or_else(PoisonError::into_inner) = Read { at, rules: Arc::new(rules) };
        Ok(())
    }
}

fn moves_money(policy: &&queue::KindPolicy) -> bool {
    policy.effect == EffectClass::Money
}

/// The answer to whoever wants such a job without an approval.
pub(crate) fn required(kind: &str) -> Problem {
    Problem::new(
        Code::ApprovalRequired,
        format!("jobs of the kind {kind} need an approval here; ask for one with POST /v1/approvals"),
    )
}
