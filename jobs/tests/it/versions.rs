//! Older payloads, newer payloads, and lists of kinds that are refused.

use std::time::Duration;

use domain::{Done, EffectClass, JobError, OrgId};
use jobs::{PrepareError, Registry, RegistryError};
use queue::KindBook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::stage::{Stage, code, raw, text};
use crate::{Ctx, Job};

/// Version 1 had `name`, version 2 `names`, version 3 has them with a greeting.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Greet {
    names: Vec<String>,
    greeting: String,
}

impl Job for Greet {
    const KIND: &'static str = "test.greet";
    const VERSION: i16 = 3;
    const SINCE: i16 = 2;
    const EFFECT: EffectClass = EffectClass::Write;
    const TIMEOUT: Duration = Duration::from_secs(1);
    const RETENTION_DAYS: Option<u16> = Some(3);
    const SUMMARY: &'static str = "Greets.";

    fn derived_key(&self) -> Option<String> {
        Some(format!("greet:{}", self.names.join(",")))
    }

    fn upgrade(from: i16, mut payload: Value) -> Option<Value> {
        if from == 2 {
            payload.as_object_mut()?.insert("greeting".into(), json!("hello"));
        }
        Some(payload)
    }

    async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
        Ok(Done::with(json!(format!("{} {}", self.greeting, self.names.join(" and ")))))
    }
}

fn stage() -> Stage {
    let mut registry = Registry::standard().unwrap();
    registry.add::<Greet>().unwrap();
    Stage::with(registry)
}

#[tokio::test]
async fn an_older_job_in_the_ledger_is_upgraded_and_run() {
    let stage = stage();
    let payload = raw(&json!({"names": ["Ann", "Bo"]}));
    let done = stage.registry.run("test.greet", 2, &payload, &stage.ctx()).await.unwrap();
    assert_eq!(done.result, Some(json!("hello Ann and Bo")));
}

#[tokio::test]
async fn what_can_not_be_run_fails_for_good() {
    let stage = stage();
    let table = [
        ("no.such", 1, "{}", "unknown_kind"),
        ("test.greet", 1, r#"{"name":"Ann"}"#, "unknown_kind"),
        ("test.greet", 4, "{}", "unknown_kind"),
        ("test.greet", 3, r#"{"names":["Ann"]}"#, "payload_invalid"),
        ("test.greet", 3, "null", "payload_invalid"),
        ("test.greet", 2, "[]", "payload_invalid"),
        ("test.greet", 2, r#"{"names":1}"#, "payload_invalid"),
    ];
    for (kind, version, payload, expected) in table {
        let run = stage.registry.run(kind, version, &text(payload), &stage.ctx()).await;
        assert_eq!(code(&run.unwrap_err()), (expected, true), "{kind}@{version} {payload}");
    }
    let run = stage.registry.run("test.greet", 3, &text(r#"{"names":["Ann"]}"#), &stage.ctx()).await;
    assert_eq!(
        run.unwrap_err().to_string(),
        "payload_invalid: the payload does not fit: /greeting is required"
    );
}

#[test]
fn the_door_takes_older_payloads_as_the_newest() {
    let registry = stage().registry;
    let old = registry.prepare(OrgId::new(), "test.greet", Some(2), text(r#"{"names":["Ann"]}"#)).unwrap();
    assert_eq!((old.kind_version, old.idempotency_key.as_deref()), (3, Some("greet:Ann")));
    let again =
        registry.prepare(OrgId::new(), "test.greet", Some(2), text(r#"{ "names": ["Ann"] }"#)).unwrap();
    assert_eq!(old.payload_hash(), again.payload_hash());
    for version in [-1, 0, 1, 4] {
        match registry.prepare(OrgId::new(), "test.greet", Some(version), text("{}")) {
            Err(PrepareError::UnknownVersion { oldest: 2, newest: 3, .. }) => {}
            other => panic!("{version}: {other:?}"),
        }
    }
    match registry.prepare(OrgId::new(), "test.greet", Some(2), text("[]")) {
        Err(PrepareError::Invalid { version: 2, errors, .. }) => assert_eq!(errors.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_book_holds_a_policy_for_each_version_taken() {
    let registry = stage().registry;
    let versions: Vec<_> = registry
        .all()
        .iter()
        .filter(|policy| policy.kind == "test.greet")
        .map(|policy| policy.version)
        .collect();
    assert_eq!(versions, [2, 3]);
    assert_eq!(registry.policy("test.greet", 2).unwrap().retention_days, 3);
    assert!(registry.policy("test.greet", 1).is_none());
}

macro_rules! kind {
    ($name:ident, $kind:literal, $since:literal, $version:literal, $mark:literal) => {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct $name {
            #[schemars(extend("x-redact" = $mark))]
            field: String,
        }

        impl Job for $name {
            const KIND: &'static str = $kind;
            const VERSION: i16 = $version;
            const SINCE: i16 = $since;
            const EFFECT: EffectClass = EffectClass::Read;
            const TIMEOUT: Duration = Duration::from_secs(1);
            const SUMMARY: &'static str = "Is refused.";
            async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
                Err(JobError::fail("never", self.field))
            }
        }
    };
}

kind!(Shouting, "Test.Shouting", 1, 1, true);
kind!(Dotless, "dotless", 1, 1, true);
kind!(Backwards, "test.backwards", 2, 1, true);
kind!(Typo, "test.typo", 1, 1, "yes");
kind!(Fine, "test.fine", 1, 1, true);

#[test]
fn wrong_lists_are_refused() {
    let mut registry = Registry::default();
    assert!(matches!(registry.add::<Shouting>(), Err(RegistryError::Name(_))));
    assert!(matches!(registry.add::<Dotless>(), Err(RegistryError::Name(_))));
    assert!(matches!(registry.add::<Backwards>(), Err(RegistryError::Policy { .. })));
    assert!(matches!(registry.add::<Typo>(), Err(RegistryError::Schema { .. })));
    assert!(registry.add::<Fine>().is_ok());
    assert!(matches!(registry.add::<Fine>(), Err(RegistryError::Twice("test.fine"))));
    assert_eq!(registry.catalogue().len(), 1);
}
