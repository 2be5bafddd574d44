//! `webhooks.deliver` through the registry: what is sent, and what each answer leads to.

use std::time::Duration;

use domain::JobError;
use domain::ports::{SecretsFault, WebhookAnswer, WebhookFault};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::stage::{Stage, code, now, text};

fn event() -> Value {
    json!({"url": "https://hooks.example.com/T0/path-secret", "event_type": "order.paid", "data": {"id": 7}})
}

fn answer(status: u16, retry_after: Option<u64>) -> Result<WebhookAnswer, WebhookFault> {
    Ok(WebhookAnswer {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        body: "Cannot POST /T0/path-secret".into(),
        took: Duration::from_millis(42),
    })
}

async fn run(outcome: Result<WebhookAnswer, WebhookFault>) -> Result<domain::Done, JobError> {
    let stage = Stage::new();
    stage.outside.answers.lock().unwrap().push_back(outcome);
    stage.run("webhooks.deliver", event()).await
}

#[tokio::test]
async fn the_event_goes_out_as_it_was_given() {
    let stage = Stage::new();
    let payload = r#"{"url":"https://hooks.example.com/in?x=1","event_id":"evt_9","event_type":"order.paid",
        "occurred_at":"2026-03-29T03:00:00.5+02:00","data":{"amount": 1.50, "b":[ ]}}"#;
    let job = stage.registry.prepare(stage.info.org_id, "webhooks.deliver", None, text(payload)).unwrap();
    for _ in 0..2 {
        stage.outside.answers.lock().unwrap().push_back(answer(204, None));
        let secrets = vec![SecretString::from("whsec_new"), SecretString::from("whsec_old")];
        stage.outside.secrets.lock().unwrap().push_back(Ok(secrets));
        let done = stage.registry.run(&job.kind, 1, &job.payload, &stage.ctx()).await.unwrap();
        assert_eq!(done.result, Some(json!({"status": 204, "took_ms": 42})));
    }
    let sent = stage.outside.sent.lock().unwrap();
    let [first, second] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(first.body, second.body, "each attempt sends the same bytes");
    assert_eq!(
        first.body,
        r#"{"type":"order.paid","timestamp":"2026-03-29T01:00:00.500Z","data":{"amount": 1.50, "b":[ ]}}"#
    );
    assert_eq!((&*first.event_id, &*first.event_type, first.secrets), ("evt_9", "order.paid", 2));
    assert_eq!(first.url, "https://hooks.example.com/in?x=1");
    assert_eq!(first.timestamp, now(), "the signed time is the attempt's");
}

#[tokio::test]
async fn without_an_event_id_the_job_is_the_event() {
    let stage = Stage::new();
    stage.outside.answers.lock().unwrap().push_back(answer(200, None));
    stage.run("webhooks.deliver", event()).await.unwrap();
    let sent = stage.outside.sent.lock().unwrap();
    assert_eq!(sent[0].event_id, stage.info.job_id.to_string());
    assert!(sent[0].body.contains(r#""timestamp":"2026-03-29T01:30:00.000Z""#), "{}", sent[0].body);
}

#[tokio::test]
async fn each_answer_has_its_consequence() {
    let day = 24 * 3600;
    let table = [
        (410, None, "endpoint_gone", true, None),
        (410, Some(5), "endpoint_gone", true, None),
        (429, Some(30), "http_429", false, Some(30)),
        (503, Some(30), "http_503", false, Some(30)),
        (503, Some(7 * day), "http_503", false, Some(day)),
        (429, None, "http_429", false, None),
        (400, None, "http_400", false, None),
        (401, None, "http_401", false, None),
        (404, None, "http_404", false, None),
        (408, None, "http_408", false, None),
        (409, None, "http_409", false, None),
        (425, None, "http_425", false, None),
        (500, None, "http_500", false, None),
        (102, None, "http_102", false, None),
    ];
    for (status, retry_after, expected, permanent, waits) in table {
        let error = run(answer(status, retry_after)).await.unwrap_err();
        assert_eq!(code(&error), (expected, permanent), "{status}");
        let after = match &error {
            JobError::Retry { after, .. } => *after,
            _ => None,
        };
        assert_eq!(after, waits.map(Duration::from_secs), "{status}");
        assert!(!error.to_string().contains("path-secret"), "{error}");
    }
    for status in [200, 201, 202, 204, 299] {
        assert!(run(answer(status, None)).await.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn each_fault_has_its_consequence() {
    let away = |code| WebhookFault::Unreachable { code, message: "no answer".into() };
    let table = [
        (WebhookFault::Refused("private address".into()), "address_refused", true),
        (WebhookFault::Unsignable("bad secret".into()), "unsignable", true),
        (away("timeout"), "timeout", false),
        (away("connect"), "connect", false),
        (away("redirect"), "redirect", false),
    ];
    for (fault, expected, permanent) in table {
        let error = run(Err(fault)).await.unwrap_err();
        assert_eq!(code(&error), (expected, permanent));
    }
}

#[tokio::test]
async fn nothing_goes_out_unsigned() {
    let table = [
        (Ok(vec![]), "signing_secret_missing", true),
        (Err(SecretsFault::Away("vault away".into())), "signing_secret_away", false),
        (Err(SecretsFault::Unusable("wrong key".into())), "signing_secret_unusable", true),
    ];
    for (secrets, expected, permanent) in table {
        let stage = Stage::new();
        stage.outside.secrets.lock().unwrap().push_back(secrets);
        let error = stage.run("webhooks.deliver", event()).await.unwrap_err();
        assert_eq!(code(&error), (expected, permanent));
        assert!(stage.outside.sent.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn data_that_is_no_object_never_leaves() {
    let stage = Stage::new();
    let payload = text(r#"{"url":"https://example.com/","event_type":"a.b","data":[1]}"#);
    let error = stage.registry.run("webhooks.deliver", 1, &payload, &stage.ctx()).await.unwrap_err();
    assert_eq!(code(&error), ("payload_invalid", true));
}
