//! What the door says to payloads that do not fit.

use std::collections::BTreeMap;

use domain::{Done, EffectClass, JobError, OrgId};
use jobs::{FieldError, MAX_FIELD_ERRORS, PrepareError, Registry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

use crate::stage::{raw, text};
use crate::{Ctx, Job};

/// A payload with everything that messages must be able to speak about.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Everything {
    #[serde(default)]
    #[schemars(length(min = 1, max = 3))]
    name: Option<String>,
    #[serde(default)]
    colour: Option<Colour>,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    count: Option<u32>,
    #[serde(default)]
    #[schemars(length(max = 2))]
    items: Vec<Item>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Colour {
    /// Documented, so that the schema is a list of constants.
    Red,
    /// Likewise.
    Green,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
enum Target {
    Mailbox { address: String },
    Folder { path: String },
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Item {
    sku: String,
}

impl Job for Everything {
    const KIND: &'static str = "test.everything";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(1);
    const SUMMARY: &'static str = "For messages.";
    async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
        Ok(Done::quiet())
    }
}

fn registry() -> Registry {
    let mut registry = Registry::standard().unwrap();
    registry.add::<Everything>().unwrap();
    registry
}

fn errors(registry: &Registry, kind: &str, payload: &Value) -> Vec<FieldError> {
    match registry.prepare(OrgId::new(), kind, None, raw(payload)) {
        Ok(_) => Vec::new(),
        Err(PrepareError::Invalid { errors, .. }) => errors,
        Err(other) => panic!("{other}"),
    }
}

/// Pointers with their messages.
type Pairs = Vec<(&'static str, &'static str)>;

#[test]
fn messages_say_where_and_what() {
    let registry = registry();
    let url = "must be a full URL such as https://example.com/path, without user name, password and fragment";
    let hook = |url: &str| json!({"url": url, "event_type": "a.b", "data": {}});
    let all = "test.everything";
    #[rustfmt::skip]
    let table: Vec<(&str, Value, Pairs)> = vec![
        ("system.echo", json!({}), vec![("/message", "is required")]),
        ("system.echo", json!([]), vec![("", "must be an object, not an array")]),
        ("system.echo", json!(null), vec![("", "must be an object, not null")]),
        ("system.echo", json!({"message": 7}), vec![("/message", "must be a string, not a number")]),
        ("system.echo", json!({"mesage": "x"}), vec![("/message", "is required"), ("/mesage", "is not a field here; did you mean “message”?")]),
        ("system.echo", json!({"message": "", "a/b~c": 1}), vec![("/a~1b~0c", "is not a field here; there are: message")]),
        ("system.echo", json!({"message": "x".repeat(10_001)}), vec![("/message", "must have at most 10000 characters")]),
        ("system.slow", json!({"duration_ms": -1}), vec![("/duration_ms", "must be at least 0")]),
        ("system.slow", json!({"duration_ms": 600_001, "steps": 0}), vec![("/duration_ms", "must be at most 600000"), ("/steps", "must be at least 1")]),
        ("system.slow", json!({"duration_ms": 1.5}), vec![("/duration_ms", "must be a whole number, without a fraction")]),
        ("system.flaky", json!({"codes": ["ok", "Not Ok"]}), vec![("/codes/1", "must match the pattern ^[a-z][a-z0-9_]{0,63}$")]),
        ("system.flaky", json!({"fail_percent": 101}), vec![("/fail_percent", "must be at most 100")]),
        ("webhooks.deliver", hook("example.com"), vec![("/url", url)]),
        ("webhooks.deliver", hook("ftp://example.com/"), vec![("/url", url)]),
        ("webhooks.deliver", hook("https://user:pw@example.com/"), vec![("/url", url)]),
        ("webhooks.deliver", hook("https://example.com/#x"), vec![("/url", url)]),
        ("webhooks.deliver", hook("https://exa mple.com/"), vec![("/url", url)]),
        ("webhooks.deliver", json!({"url": "https://example.com/", "event_type": "a b", "data": []}),
            vec![("/data", "must be an object, not an array"), ("/event_type", "must have 1 to 128 letters, digits, “.”, “_” or “-”, such as order.paid")]),
        (all, json!({"name": ""}), vec![("/name", "must not be empty")]),
        (all, json!({"name": "four"}), vec![("/name", "must have at most 3 characters")]),
        (all, json!({"name": false}), vec![("/name", "must be a string or null, not true or false")]),
        (all, json!({"colour": "blue"}), vec![("/colour", "must be one of \"red\", \"green\"")]),
        (all, json!({"target": {"to": "mailbox"}}), vec![("/target/address", "is required")]),
        (all, json!({"target": {"to": "folder", "path": 1}}), vec![("/target/path", "must be a string, not a number")]),
        (all, json!({"target": {"to": "moon"}}), vec![("/target/to", "must be one of \"mailbox\", \"folder\"")]),
        (all, json!({"count": 10}), vec![("/count", "must be at most 9")]),
        (all, json!({"items": [{"sku": "a"}, {}]}), vec![("/items/1/sku", "is required")]),
        (all, json!({"items": [{"sku": "a"}, {"sku": "b", "skuu": 1}]}), vec![("/items/1/skuu", "is not a field here; did you mean “sku”?")]),
        (all, json!({"items": [{"sku": "a"}, {"sku": "a"}, {"sku": "a"}]}), vec![("/items", "must have at most 2 items")]),
        (all, json!({"labels": {"x": 1}}), vec![("/labels/x", "must be a string, not a number")]),
        (all, json!({"at": "yesterday"}), vec![("/at", "must be a date and time with its zone, such as 2026-01-31T09:00:00Z")]),
    ];
    let mut wrong = Vec::new();
    for (kind, payload, expected) in table {
        let found = errors(&registry, kind, &payload);
        let mut pairs: Vec<_> = found.iter().map(|error| (&*error.pointer, &*error.message)).collect();
        let mut expected = expected.clone();
        pairs.sort_unstable();
        expected.sort_unstable();
        if pairs != expected {
            wrong.push(format!("{kind} {payload}\n  said {pairs:?}\n  not  {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_schema_lets_through_and_the_type_does_not_is_named_too() {
    let registry = registry();
    let at = |kind: &str, payload: &str| match registry.prepare(OrgId::new(), kind, None, text(payload)) {
        Err(PrepareError::Invalid { errors, .. }) => errors[0].pointer.clone(),
        other => panic!("{payload}: {other:?}"),
    };
    // A whole number in JSON Schema's eyes, not in a u64's.
    assert_eq!(at("system.slow", r#"{"duration_ms": 10.0}"#), "/duration_ms");
    assert_eq!(at("system.slow", r#"{"steps": 2, "duration_ms": 1e2}"#), "/duration_ms");
    assert_eq!(at("system.echo", r#"{"message": "a", "message": "b"}"#), "");
    for unreadable in [r#"{"message": "\ud800"}"#, r#"{"message": 1e999}"#] {
        assert_eq!(at("system.echo", unreadable), "", "{unreadable}");
    }
    let deep = format!(
        r#"{{"url":"https://example.com/","event_type":"a","data":{{"a":{}{}}}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    assert_eq!(at("webhooks.deliver", &deep), "");
}

#[test]
fn at_most_twenty_errors_are_told() {
    let many: serde_json::Map<_, _> = (0..20_000).map(|n| (format!("f{n}"), json!(1))).collect();
    let errors = errors(&registry(), "system.noop", &Value::Object(many));
    assert_eq!(errors.len(), MAX_FIELD_ERRORS);
}

#[test]
fn unknown_kinds_come_with_likely_ones() {
    let registry = Registry::standard().unwrap();
    let table: [(&str, &[&str]); 7] = [
        ("webhook.deliver", &["webhooks.deliver"]),
        ("webhooks.delivery", &["webhooks.deliver"]),
        ("System.Echo", &["system.echo"]),
        ("echo", &["system.echo"]),
        ("system.ecko", &["system.echo"]),
        ("payouts.refund", &[]),
        ("", &[]),
    ];
    for (asked, first) in table {
        let error = registry.prepare(OrgId::new(), asked, None, text("{}")).unwrap_err();
        let PrepareError::UnknownKind { near, .. } = &error else { panic!("{error}") };
        assert_eq!(&near[..near.len().min(1)], first, "{asked}: {near:?}");
    }
    let long = "x".repeat(100_000);
    let error = registry.prepare(OrgId::new(), &long, None, text("{}")).unwrap_err();
    assert!(error.to_string().len() < 200);
    let error = registry.prepare(OrgId::new(), "system.ecko", None, text("{}")).unwrap_err();
    assert!(
        error.to_string().starts_with("there is no job kind “system.ecko”; did you mean system.echo"),
        "{error}"
    );
}

#[test]
fn large_payloads_are_turned_away_unread() {
    let payload = json!({"pad": "x".repeat(domain::MAX_PAYLOAD_BYTES)});
    let error = Registry::standard().unwrap().prepare(OrgId::new(), "system.noop", None, raw(&payload));
    assert!(matches!(error, Err(PrepareError::TooLarge { limit: domain::MAX_PAYLOAD_BYTES, .. })));
}
