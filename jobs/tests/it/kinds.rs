//! `system.*` through the registry, and what the catalogue says of all kinds.

use std::time::Duration;

use domain::{EffectClass, JobError, OrgId};
use futures::FutureExt;
use jobs::{Registry, new_job, system};
use queue::{KindBook, NewJob};
use serde_json::json;

use crate::stage::{Stage, code, raw, text};

#[tokio::test]
async fn echo_returns_its_message() {
    let done = Stage::new().run("system.echo", json!({"message": "hello"})).await.unwrap();
    assert_eq!(done.result, Some(json!({"message": "hello"})));
}

#[tokio::test]
async fn noop_leaves_nothing() {
    let stage = Stage::new();
    for payload in [json!({}), json!({"pad": "x".repeat(200)})] {
        assert!(stage.run("system.noop", payload).await.unwrap().result.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn slow_takes_its_time_and_reports() {
    let stage = Stage::new();
    let started = tokio::time::Instant::now();
    stage.run("system.slow", json!({"duration_ms": 1000, "steps": 4})).await.unwrap();
    let took = started.elapsed();
    assert!((1000..1010).contains(&took.as_millis()), "{took:?}");
    let steps = [1, 2, 3, 4].map(|step| (step, Some(4)));
    assert_eq!(*stage.outside.reports.lock().unwrap(), steps);
}

#[tokio::test(start_paused = true)]
async fn slow_stops_when_told_to() {
    let stage = Stage::new();
    let started = tokio::time::Instant::now();
    let stop = stage.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(250)).await;
        stop.cancel();
    });
    let error = stage.run("system.slow", json!({"duration_ms": 60_000, "steps": 600})).await.unwrap_err();
    assert_eq!(code(&error), ("stopped", false));
    assert!(started.elapsed() < Duration::from_millis(300));
    assert_eq!(stage.outside.reports.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn flaky_fails_as_asked() {
    let mut stage = Stage::new();
    let payload = json!({"fail_first": 2, "codes": ["rate_limited", "bad_gateway"]});
    for (attempt, expected) in [(1, Some("rate_limited")), (2, Some("bad_gateway")), (3, None)] {
        stage.info.attempt = attempt;
        let run = stage.run("system.flaky", payload.clone()).await;
        assert_eq!(run.as_ref().err().map(|error| code(error).0), expected, "attempt {attempt}");
    }
    stage.info.attempt = 1;
    let error = stage.run("system.flaky", json!({"fail_percent": 100, "permanent": true})).await.unwrap_err();
    assert_eq!(code(&error), ("flaky", true));
    let error =
        stage.run("system.flaky", json!({"fail_first": 1, "retry_after_ms": 1500})).await.unwrap_err();
    assert!(
        matches!(error, JobError::Retry { after: Some(after), .. } if after == Duration::from_millis(1500))
    );
    assert!(stage.run("system.flaky", json!({})).await.is_ok());
}

#[tokio::test]
async fn panic_panics() {
    let stage = Stage::new();
    let run = std::panic::AssertUnwindSafe(stage.run("system.panic", json!({"message": "boom"})));
    let panic = run.catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("boom"));
}

#[test]
fn every_kind_says_what_the_catalogue_needs() {
    let registry = Registry::standard().unwrap();
    let kinds = registry.catalogue();
    let names: Vec<_> = kinds.iter().map(|kind| kind.kind).collect();
    assert_eq!(
        names,
        [
            "audit.verify",
            "auth.begin_oidc",
            "auth.finish_oidc",
            "hooks.process_event",
            "people.send_invitation",
            "people.send_password_reset",
            "system.echo",
            "system.flaky",
            "system.noop",
            "system.panic",
            "system.slow",
            "webhooks.deliver"
        ]
    );
    let lanes = ["critical", "default", "ai", "voice", "outreach", "ads", "webhooks", "reports", "bulk"];
    for kind in kinds {
        let name = kind.kind;
        assert!(lanes.contains(&kind.lane), "{name}: no lane {}", kind.lane);
        assert!(kind.summary.ends_with('.') && kind.summary.len() < 120, "{name}: {}", kind.summary);
        assert_eq!(kind.schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(kind.schema["additionalProperties"], false, "{name} takes unknown fields");
        // A kind may need nothing told.
        for (field, schema) in kind.schema["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].is_string(), "{name}: describe {field}");
        }
        assert!(serde_json::to_value(&kind).unwrap()["retry"]["max_attempts"].as_i64().unwrap() >= 1);
    }
}

#[test]
fn the_book_knows_policies() {
    let registry = Registry::standard().unwrap();
    let book: &dyn KindBook = &registry;
    let policy = book.policy("webhooks.deliver", 1).unwrap();
    assert_eq!((policy.lane, policy.effect), ("webhooks", EffectClass::Send));
    assert_eq!(policy.retention_days, EffectClass::Send.retention_days());
    assert!(book.policy("webhooks.deliver", 2).is_none());
    assert!(book.policy("webhooks.deliver", 0).is_none());
    assert!(book.policy("no.such", 1).is_none());
    assert_eq!(book.all().len(), registry.catalogue().len());
}

#[test]
fn the_book_knows_limits() {
    let registry = Registry::standard().unwrap();
    let event = |url: &str| json!({"url": url, "event_type": "a.b", "data": {}});
    let table = [
        ("https://Example.com/in", "example.com:443"),
        ("http://127.0.0.1:9000/in", "127.0.0.1:9000"),
        ("https://[2001:db8::1]/in", "[2001:db8::1]:443"),
    ];
    for (url, key) in table {
        let limits = registry.limits("webhooks.deliver", 1, &raw(&event(url)));
        let [limit] = limits.as_slice() else { panic!("{limits:?}") };
        assert_eq!((&*limit.name, &*limit.key, limit.units), ("webhooks.endpoint", key, 1));
    }
    for (kind, version, payload) in [
        ("webhooks.deliver", 1, text("[]")),
        ("webhooks.deliver", 9, raw(&event("https://example.com/"))),
        ("no.such", 1, text("{}")),
        ("system.noop", 1, text("{}")),
    ] {
        assert!(registry.limits(kind, version, &payload).is_empty(), "{kind}@{version}");
    }
}

#[test]
fn a_prepared_job_follows_its_kind() {
    let registry = Registry::standard().unwrap();
    let org = OrgId::new();
    let spaced = r#"{ "url":"https://example.com/in", "event_type":"a.b", "data":{"n":1.50,"s":"\u00e9"} }"#;
    let job = registry.prepare(org, "webhooks.deliver", Some(1), text(spaced)).unwrap();
    assert_eq!(job.org_id, org);
    assert_eq!(
        (&*job.kind, job.kind_version, &*job.lane, job.max_attempts),
        ("webhooks.deliver", 1, "webhooks", 8)
    );
    assert_eq!(job.payload.get(), spaced, "the text stays as it came");
    assert_eq!(job.idempotency_key, None);
    assert_eq!(registry.prepare(org, "system.panic", None, text("{}")).unwrap().max_attempts, 1);
}

#[test]
fn code_makes_jobs_by_type() {
    let org = OrgId::new();
    let job = new_job(org, &system::Echo { message: "hi".into() }).unwrap();
    assert_eq!(
        (&*job.kind, &*job.lane, job.payload.get()),
        ("system.echo", "default", r#"{"message":"hi"}"#)
    );
    let registry = Registry::standard().unwrap();
    assert!(registry.prepare(org, &job.kind, Some(job.kind_version), job.payload).is_ok());
}

#[test]
fn successors_stay_with_the_job() {
    let stage = Stage::new();
    let ctx = stage.ctx();
    ctx.then_job(&system::Echo { message: "next".into() }).unwrap();
    let mut foreign = NewJob::new(OrgId::new(), "system.noop", "bulk", text("{}"));
    foreign.request_id = Some("own".into());
    ctx.then(foreign);
    let next = ctx.take_successors();
    assert_eq!(next.len(), 2);
    for job in &next {
        assert_eq!(job.org_id, ctx.job.org_id);
        assert_eq!(job.parent_job_id, Some(ctx.job.job_id));
    }
    let requests: Vec<_> = next.iter().map(|job| job.request_id.as_deref()).collect();
    assert_eq!(requests, [Some("req-1"), Some("own")]);
    assert!(ctx.take_successors().is_empty());
}
