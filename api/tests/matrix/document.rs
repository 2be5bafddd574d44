//! The operations of the OpenAPI document, and what guards each.

use domain::Permission;
use serde_json::Value;

/// One method of one path.
pub(crate) struct Operation {
    /// `GET /v1/jobs`.
    pub(crate) key: String,
    pub(crate) method: reqwest::Method,
    pub(crate) path: String,
    pub(crate) guard: Guard,
}

/// Who may call it, as the document says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Whoever has this permission, person or token.
    May(Permission),
    /// Any signed-in person.
    Person,
    /// Nobody is asked who they are.
    Nobody,
}

impl Operation {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        self.method != reqwest::Method::GET
    }
}

pub(crate) fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: reqwest::Method = method.to_uppercase().parse().unwrap();
            let key = format!("{method} {path}");
            let guard = guard(&key, &operation["security"]);
            all.push(Operation { key, method, path: path.clone(), guard });
        }
    }
    all
}

fn guard(key: &str, security: &Value) -> Guard {
    let schemes: Vec<_> =
        security.as_array().into_iter().flatten().filter_map(Value::as_object).flatten().collect();
    match schemes.as_slice() {
        [] => Guard::Nobody,
        [(scheme, _)] if scheme.as_str() == "session" => Guard::Person,
        [(scheme, words)] if scheme.as_str() == "token" => {
            let words = words.as_array().unwrap();
            assert_eq!(words.len(), 1, "{key} names one permission");
            Guard::May(words[0].as_str().unwrap().parse().unwrap())
        }
        other => panic!("{key}: tests/matrix/document.rs does not know the guard {other:?}"),
    }
}
