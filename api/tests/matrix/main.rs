//! The permission table against the API: every operation of the OpenAPI document × everybody there is × every
//! place its subject can be. What should happen follows from the scope the document names and from
//! `domain::permission`; a new operation fails until it has a recipe. The same calls show that whatever
//! changes something is written into the audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_pass_by_value)]

#[allow(dead_code)]
#[path = "../api/app.rs"]
mod app;
mod call;
mod document;
mod expect;
#[allow(dead_code)]
#[path = "../api/keys.rs"]
mod keys;
mod recipes;
mod rooms;
mod rows;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use futures::StreamExt;

use document::{Guard, Operation};
use expect::{Place, Who};
use recipes::{About, Recipe};
use world::World;

/// Operations that anybody may call, and why.
const PUBLIC: &[(&str, &str)] = &[
    ("GET /healthz", "whether the process lives"),
    ("GET /readyz", "whether it can work"),
    ("GET /metrics", "figures without names of anybody"),
    ("POST /v1/auth/sign-in", "the way in"),
    ("POST /v1/auth/password-reset", "the way back in"),
    ("POST /v1/auth/password-reset/complete", "shows a link's token"),
    ("POST /v1/auth/invitation", "shows a link's token"),
    ("POST /v1/auth/invitation/accept", "shows a link's token"),
    ("GET /v1/auth/oidc", "the way to the identity provider"),
    ("GET /v1/auth/oidc/callback", "the way back from it"),
    ("POST /v1/hooks/{provider}/{endpoint_id}", "providers sign what they send"),
];

fn recipes_by_operation() -> BTreeMap<&'static str, Recipe> {
    let mut all = BTreeMap::new();
    for recipe in recipes::all() {
        let operation = recipe.operation;
        assert!(all.insert(operation, recipe).is_none(), "{operation} has two recipes");
    }
    all
}

#[test]
fn every_operation_has_a_guard_or_a_reason_and_a_recipe() {
    let operations = document::operations();
    assert!(operations.len() >= 39, "only {} operations", operations.len());
    let there: BTreeSet<&str> = operations.iter().map(|operation| operation.key.as_str()).collect();
    let recipes = recipes_by_operation();
    let missing: Vec<_> = there.iter().filter(|key| !recipes.contains_key(**key)).collect();
    assert!(missing.is_empty(), "say in tests/matrix/recipes how these are called: {missing:#?}");
    let stale: Vec<_> = recipes.keys().filter(|key| !there.contains(**key)).collect();
    assert!(stale.is_empty(), "these recipes are for no operation: {stale:#?}");
    let open: BTreeSet<&str> = operations
        .iter()
        .filter(|operation| operation.guard == Guard::Nobody)
        .map(|operation| operation.key.as_str())
        .collect();
    let said: BTreeSet<&str> = PUBLIC.iter().map(|(key, _)| *key).filter(|key| there.contains(key)).collect();
    assert_eq!(open, said, "an operation without security is said in PUBLIC, with a reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_everybody_do_what_the_permission_table_says_and_writes_it_down() {
    let world = World::made().await;
    let recipes = recipes_by_operation();
    // One that lacks its recipe is the other test's business.
    let work: Vec<(Operation, &Recipe)> = document::operations()
        .into_iter()
        .filter_map(|operation| recipes.get(operation.key.as_str()).map(|recipe| (operation, recipe)))
        .collect();
    let told: Vec<(usize, String)> = futures::stream::iter(work)
        .map(|(operation, recipe)| {
            let world = &world;
            async move { tried(world, &operation, recipe).await }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let calls: usize = told.iter().map(|(calls, _)| calls).sum();
    let wrong: String = told.into_iter().map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(calls > 500, "only {calls} calls were made");
    println!("{calls} calls");
}

/// Calls one operation as everybody everywhere; answers how often, and what went otherwise than it should.
async fn tried(world: &World, operation: &Operation, recipe: &Recipe) -> (usize, String) {
    let (mut calls, mut wrong) = (0, String::new());
    for who in Who::everybody(operation) {
        for place in Place::ALL.into_iter().filter(|place| place.fits(recipe.about)) {
            let outcome = call::make(world, operation, recipe, who, place).await;
            calls += 1;
            for complaint in expect::complaints(operation, recipe, who, place, &outcome) {
                let _ = writeln!(wrong, "{} as {who} ({place:?}): {complaint}", operation.key);
            }
        }
    }
    assert!(calls > 0 || recipe.about == About::Public, "{} was not called", operation.key);
    (calls, wrong)
}
