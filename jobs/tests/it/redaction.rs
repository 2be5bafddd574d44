//! A planted secret never shows: not in redacted payloads, not in errors.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Done, EffectClass, JobError, OrgId};
use jobs::{MASK, PrepareError, Registry};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::stage::{Stage, raw};
use crate::{Ctx, Job};

/// Marks at every place where a mark can stand.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Vault {
    label: String,
    #[schemars(extend("x-redact" = true))]
    pin: Value,
    #[serde(default)]
    login: Option<Login>,
    #[serde(default)]
    logins: Vec<Login>,
    #[serde(default)]
    by_name: BTreeMap<String, Login>,
    #[serde(default)]
    way: Option<Way>,
    #[serde(default)]
    #[schemars(extend("x-redact" = true))]
    whole: Option<Login>,
    #[serde(default)]
    child: Option<Box<Vault>>,
    #[serde(default)]
    #[schemars(extend("x-redact" = "url"))]
    callback: Option<String>,
    #[serde(default)]
    open: Map<String, Value>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    #[schemars(extend("x-redact" = true))]
    password: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
enum Way {
    Token {
        #[schemars(extend("x-redact" = true))]
        token: String,
    },
    Nothing,
}

impl Job for Vault {
    const KIND: &'static str = "test.vault";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(1);
    const SUMMARY: &'static str = "For secrets.";
    async fn run(self, _ctx: &Ctx) -> Result<Done, JobError> {
        Ok(Done::quiet())
    }
}

fn registry() -> Registry {
    let mut registry = Registry::standard().unwrap();
    registry.add::<Vault>().unwrap();
    registry
}

#[test]
fn marked_fields_are_masked_and_the_rest_stays() {
    let login = json!({"user": "ann", "password": "s1"});
    let payload = json!({
        "label": "home", "pin": 1234, "login": login, "logins": [login, login],
        "by_name": {"work": login}, "way": {"by": "token", "token": "s2"}, "whole": login,
        "child": {"label": "inner", "pin": {"a": [true, null, "s3"]}, "logins": [login]},
        "callback": "https://hooks.example.com:8443/T0/s4?k=s5", "open": {"free": {"n": 1}},
    });
    let hidden = json!({"user": "ann", "password": MASK});
    assert_eq!(
        registry().redact("test.vault", 1, &payload),
        json!({
            "label": "home", "pin": MASK, "login": hidden, "logins": [hidden, hidden],
            "by_name": {"work": hidden}, "way": {"by": "token", "token": MASK},
            "whole": {"user": MASK, "password": MASK},
            "child": {"label": "inner", "pin": {"a": [MASK, null, MASK]}, "logins": [hidden]},
            "callback": format!("https://hooks.example.com:8443/{MASK}"), "open": {"free": {"n": 1}},
        })
    );
}

#[test]
fn urls_keep_their_origin() {
    let registry = registry();
    let table = [
        ("https://example.com", "https://example.com".to_owned()),
        ("https://example.com/", "https://example.com".to_owned()),
        ("https://example.com:8443/?k=v", format!("https://example.com:8443/{MASK}")),
        ("https://u:p@example.com/", format!("https://example.com/{MASK}")),
        ("https://example.com/#t", format!("https://example.com/{MASK}")),
        ("mailto:a@example.com", MASK.to_owned()),
        ("not a url", MASK.to_owned()),
    ];
    for (url, shown) in table {
        let payload = json!({"url": url, "event_type": "a.b", "data": {"amount": 5}});
        let redacted = registry.redact("webhooks.deliver", 1, &payload);
        assert_eq!(redacted, json!({"url": shown, "event_type": "a.b", "data": {"amount": 5}}));
    }
}

#[test]
fn what_nobody_describes_is_hidden() {
    let registry = registry();
    let payload = json!({"a": "x", "b": {"c": [1, false, null]}});
    let keys = json!({"a": MASK, "b": {"c": [MASK, MASK, null]}});
    for (kind, version) in [("no.such", 1), ("system.echo", 9), ("system.echo", 1)] {
        assert_eq!(registry.redact(kind, version, &payload), keys, "{kind}@{version}");
    }
    let misshapen = json!({"label": {"password": "x"}, "logins": "x", "login": ["x"], "by_name": {"k": "x"}});
    let shown = registry.redact("test.vault", 1, &misshapen).to_string();
    assert!(!shown.contains("\"x\""), "{shown}");
    assert_eq!(registry.redact("test.vault", 1, &json!("x")), json!(MASK));
}

#[test]
fn what_was_shown_can_not_be_sent_back() {
    let registry = registry();
    let payload = json!({"url": "https://example.com/in", "event_type": "a.b", "data": {"note": MASK}});
    assert!(registry.prepare(OrgId::new(), "webhooks.deliver", None, raw(&payload)).is_ok());
    let shown = registry.redact("webhooks.deliver", 1, &payload);
    match registry.prepare(OrgId::new(), "webhooks.deliver", None, raw(&shown)) {
        Err(PrepareError::Invalid { errors, .. }) => {
            assert_eq!(errors.len(), 1);
            assert_eq!(errors[0].pointer, "/url");
            assert!(errors[0].message.contains("write the real value"));
        }
        other => panic!("{other:?}"),
    }
}

const SECRET: &str = "hunter2-planted";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/~ ]{0,8}".prop_map(Value::from),
        Just(json!(SECRET)),
        Just(json!(format!("prefix {SECRET} suffix"))),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "label", "pin", "login", "logins", "by_name", "way", "whole", "child", "callback", "user",
        "password", "by", "token", "other",
    ];
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), "[a-z/~]{1,3}"]
}

/// A vault of any depth, the secret at each marked place, and at none of the others.
fn vault() -> impl Strategy<Value = Value> {
    let login = ("[a-z]{0,5}").prop_map(|user| json!({"user": user, "password": SECRET}));
    let pin = prop_oneof![Just(json!(SECRET)), Just(json!({"deep": [{"er": SECRET}, [SECRET]]})),];
    let leaf = (pin, login.clone(), prop::collection::vec(login.clone(), 0..3), any::<bool>()).prop_map(
        |(pin, login, logins, token)| {
            let way = if token { json!({"by": "token", "token": SECRET}) } else { json!({"by": "nothing"}) };
            json!({
                "label": "plain", "pin": pin, "login": login, "logins": logins, "way": way,
                "by_name": {"k": login}, "whole": login,
                "callback": format!("https://example.com/{SECRET}?{SECRET}"),
            })
        },
    );
    leaf.prop_recursive(5, 20, 1, |inner| {
        inner.prop_map(|inner| {
            let mut outer = inner.clone();
            outer["child"] = inner;
            outer
        })
    })
}

/// Replaces the value at one place, so that the payload no longer fits.
fn broken() -> impl Strategy<Value = Value> {
    let places = ["label", "login", "logins", "way", "by_name", "whole", "child", "callback", "extra"];
    (
        vault(),
        prop::sample::select(places.to_vec()),
        prop_oneof![
            Just(json!(7)),
            Just(json!({"user": 1, "password": SECRET})),
            Just(json!([{"password": SECRET}])),
            Just(json!({"by": "token", "token": [SECRET]})),
            Just(json!({"k": {"user": "u", "password": {"x": SECRET}}})),
        ],
    )
        .prop_map(|(mut vault, place, value)| {
            vault[place] = value;
            vault
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_planted_secret_never_shows(payload in vault()) {
        let registry = registry();
        prop_assert!(registry.prepare(OrgId::new(), "test.vault", None, raw(&payload)).is_ok());
        let shown = registry.redact("test.vault", 1, &payload).to_string();
        prop_assert!(!shown.contains(SECRET), "{shown}");
        prop_assert!(shown.contains("\"label\":\"plain\""));
    }

    #[test]
    fn an_unknown_kind_shows_keys_only(payload in any_json()) {
        let shown = registry().redact("no.such", 1, &payload);
        prop_assert!(!shown.to_string().contains(SECRET));
        prop_assert_eq!(shape(&shown), shape(&payload));
    }

    #[test]
    fn any_json_keeps_its_shape(payload in any_json()) {
        let shown = registry().redact("test.vault", 1, &payload);
        prop_assert_eq!(shape(&shown), shape(&payload));
    }

    #[test]
    fn errors_never_tell(payload in prop_oneof![broken(), any_json()]) {
        let stage = Stage::with(registry());
        let told = match stage.registry.prepare(OrgId::new(), "test.vault", None, raw(&payload)) {
            Ok(_) => String::new(),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!told.contains(SECRET), "{told}");
        let payload = raw(&payload);
        let ctx = stage.ctx();
        let run = futures::executor::block_on(stage.registry.run("test.vault", 1, &payload, &ctx));
        let told = format!("{run:?}");
        prop_assert!(!told.contains(SECRET), "{told}");
    }
}

/// The payload with all leaves alike.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect::<Map<_, _>>().into()
        }
        _ => json!(0),
    }
}
