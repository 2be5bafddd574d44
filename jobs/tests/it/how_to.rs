//! Follows `docs/how-to/add-a-job-kind.md` to the letter: the page's code is the code that runs here.

use domain::{EffectClass, OrgId};
use jobs::{MASK, PrepareError, Registry};
use queue::KindBook;
use serde_json::{Value, json};

use crate::stage::{Stage, code, raw, text};

#[allow(unreachable_pub)] // written as it would stand in the library
mod count_words;

const PAGE: &str = include_str!("../../../docs/how-to/add-a-job-kind.md");
const FILE: &str = include_str!("how_to/count_words.rs");
const HERE: &str = include_str!("how_to.rs");

fn registry() -> Registry {
    let mut registry = Registry::standard().unwrap();
    register(&mut registry).unwrap();
    registry
}

fn register(registry: &mut Registry) -> Result<(), jobs::RegistryError> {
    use count_words as text;
    registry.add::<text::CountWords>()?;
    Ok(())
}

/// The page's code blocks in one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_page_shows_the_code_that_runs() {
    let shown = blocks("rust");
    assert_eq!(shown.first().copied(), Some(FILE), "copy tests/it/how_to/count_words.rs into the page");
    let registration = shown.get(1).unwrap().trim();
    assert_eq!(registration.lines().count(), 1, "registration is one line");
    assert!(HERE.lines().any(|line| line.trim() == registration), "{registration}");
}

#[tokio::test]
async fn the_request_on_the_page_becomes_a_job_that_runs() {
    let stage = Stage::with(registry());
    let request: Value = serde_json::from_str(blocks("json").first().unwrap()).unwrap();
    let kind = request["kind"].as_str().unwrap();
    let job = stage.registry.prepare(OrgId::new(), kind, None, raw(&request["payload"])).unwrap();
    assert_eq!((&*job.kind, &*job.lane, job.kind_version), ("text.count_words", "bulk", 1));
    let done = stage.registry.run(&job.kind, job.kind_version, &job.payload, &stage.ctx()).await.unwrap();
    let expected: Value = serde_json::from_str(blocks("json").get(1).unwrap()).unwrap();
    assert_eq!(done.result, Some(expected));
    let policy = stage.registry.policy(kind, 1).unwrap();
    assert_eq!((policy.effect, policy.retention_days), (EffectClass::Read, 7));
}

#[tokio::test]
async fn the_kind_keeps_what_the_page_promises() {
    let stage = Stage::with(registry());
    let redacted = stage.registry.redact("text.count_words", 1, &json!({"text": "a", "top": 2}));
    assert_eq!(redacted, json!({"text": MASK, "top": 2}));
    let refused = stage.registry.prepare(OrgId::new(), "text.count_words", None, text(r#"{"txt":""}"#));
    assert!(matches!(refused, Err(PrepareError::Invalid { errors, .. }) if errors.len() == 2));
    let blank = stage.run("text.count_words", json!({"text": " "})).await;
    assert_eq!(code(&blank.unwrap_err()), ("text_blank", true));
    stage.stop.cancel();
    let stopped = stage.run("text.count_words", json!({"text": "a b"})).await;
    assert_eq!(code(&stopped.unwrap_err()), ("stopped", false));
}
