//! What rooms and privacy do besides yes and no: what a job belongs to by itself, what is counted and let go
//! across rooms, and what a stream shows to whom.

use std::time::Duration;

use domain::Role;
use futures::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::Reply;
use crate::world::{Papers, World};

async fn ask(world: &World, papers: &Papers, method: Method, path: &str, body: Option<&Value>) -> Reply {
    let changes = method != Method::GET;
    let request = papers.shown(world.app.anonymous(method, path), changes);
    Reply::of(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

async fn get(world: &World, papers: &Papers, path: &str) -> Reply {
    ask(world, papers, Method::GET, path, None).await
}

async fn post(world: &World, papers: &Papers, path: &str, body: &Value) -> Reply {
    ask(world, papers, Method::POST, path, Some(body)).await
}

/// An echo that nobody runs, with these fields besides; its id.
async fn echo(world: &World, papers: &Papers, besides: Value) -> String {
    let mut body = json!({ "kind": "system.echo", "payload": { "message": "hello" } });
    body.as_object_mut().unwrap().extend(besides.as_object().unwrap().clone());
    post(world, papers, "/v1/jobs", &body).await.ok()["job_id"].as_str().unwrap().to_owned()
}

/// A manager of both rooms.
async fn manager_of_two(world: &World) -> Papers {
    let joined = world.joined(world.org, Role::Manager).await;
    sqlx::query("INSERT INTO member_workspace (org_id, actor_id, workspace_id) VALUES ($1, $2, $3)")
        .bind(joined.org.0)
        .bind(joined.actor)
        .bind(world.other_room)
        .execute(world.app.db.superuser())
        .await
        .unwrap();
    world.signed_in(&joined).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_belongs_to_the_room_of_whoever_has_one_and_to_one_person_when_they_say_so() {
    let world = World::made().await;
    let (owner, manager) = (world.known(Role::Owner), world.known(Role::Manager));
    let own = echo(&world, &manager, json!({})).await;
    let shown = get(&world, &owner, &format!("/v1/jobs/{own}")).await.ok();
    assert_eq!((&shown["workspace_id"], &shown["private"]), (&json!(world.room), &json!(false)));
    let of_none = echo(&world, &owner, json!({})).await;
    let shown = get(&world, &owner, &format!("/v1/jobs/{of_none}")).await.ok();
    assert_eq!(shown["workspace_id"], Value::Null);
    get(&world, &manager, &format!("/v1/jobs/{of_none}")).await.is(404, "not_found");

    let then = json!([{ "kind": "system.noop", "payload": {} }, { "kind": "system.noop", "payload": {}, "private": false }]);
    let private = echo(&world, &manager, json!({ "private": true, "then": then })).await;
    let path = format!("/v1/jobs/{private}");
    assert_eq!(get(&world, &manager, &path).await.ok()["private"], true);
    for role in [Role::Owner, Role::Support, Role::Auditor] {
        get(&world, &world.known(role), &path).await.is(404, "not_found");
    }
    post(&world, &owner, &format!("{path}/cancel"), &json!({})).await.is(404, "not_found");
    let successors: Value = sqlx::query_scalar("SELECT successors FROM job WHERE job_id = $1::uuid")
        .bind(&private)
        .fetch_one(world.app.db.superuser())
        .await
        .unwrap();
    assert_eq!(successors[0]["workspace_id"], json!(world.room), "{successors}");
    assert!(successors[0]["private_to"].is_string() && successors[1]["private_to"].is_null(), "{successors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_several_rooms_names_one_and_counts_each_by_itself() {
    let world = World::made().await;
    let manager = manager_of_two(&world).await;
    let job = |room: Option<Uuid>| json!({ "kind": "system.noop", "payload": {}, "workspace_id": room });
    let unsaid = post(&world, &manager, "/v1/jobs", &job(None)).await;
    assert_eq!(unsaid.is(422, "invalid_request"), ["/workspace_id"]);
    post(&world, &manager, "/v1/jobs", &job(Some(world.other_room))).await.ok();
    let elsewhere = post(&world, &manager, "/v1/jobs", &job(Some(world.other_orgs_room))).await;
    assert_eq!(elsewhere.is(422, "invalid_request"), ["/workspace_id"]);
    assert!(elsewhere.text.contains(&world.other_orgs_room.to_string()), "{elsewhere:?}");

    let both = json!({ "jobs": [job(Some(world.room)), job(Some(world.other_room))] });
    post(&world, &manager, "/v1/jobs/batch", &both).await.ok();
    let mut counted = both.clone();
    counted["name"] = json!("both");
    assert_eq!(
        post(&world, &manager, "/v1/jobs/batch", &counted).await.is(422, "invalid_request"),
        ["/jobs"]
    );
    counted["jobs"] = json!([job(Some(world.other_room)), job(Some(world.other_room))]);
    let batch = post(&world, &manager, "/v1/jobs/batch", &counted).await.ok()["batch_id"].clone();
    let path = format!("/v1/batches/{}", batch.as_str().unwrap());
    assert_eq!(get(&world, &manager, &path).await.ok()["workspace_id"], json!(world.other_room));
    get(&world, &world.known(Role::Manager), &path).await.is(404, "not_found");

    let owner = world.known(Role::Owner);
    let wrong = json!({ "name": "x", "jobs": [job(None), job(Some(world.other_orgs_room))] });
    let refused = post(&world, &owner, "/v1/jobs/batch", &wrong).await;
    assert_eq!(refused.is(422, "invalid_request"), ["/jobs/1/workspace_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_across_rooms_is_counted_whoever_ends_its_jobs() {
    let world = World::made().await;
    let (owner, manager) = (world.known(Role::Owner), world.known(Role::Manager));
    let job = |room: Uuid| json!({ "kind": "system.noop", "payload": {}, "workspace_id": room });
    let request = json!({
        "name": "across", "jobs": [job(world.room), job(world.other_room)],
        "on_complete": { "kind": "system.noop", "payload": {}, "workspace_id": world.other_room, "private": true },
    });
    let made = post(&world, &owner, "/v1/jobs/batch", &request).await.ok();
    let batch = format!("/v1/batches/{}", made["batch_id"].as_str().unwrap());
    let ids: Vec<&str> =
        made["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap()).collect();
    get(&world, &manager, &batch).await.is(404, "not_found");
    post(&world, &owner, &format!("/v1/jobs/{}/cancel", ids[1]), &json!({})).await.ok();
    assert_eq!(get(&world, &owner, &batch).await.ok()["open"], 1);
    // The last one is ended by somebody who sees neither the batch nor the room of what follows.
    post(&world, &manager, &format!("/v1/jobs/{}/cancel", ids[0]), &json!({})).await.ok();
    let done = get(&world, &owner, &batch).await.ok();
    assert_eq!((&done["failed"], &done["open"]), (&json!(2), &json!(0)), "{done}");
    let follows = done["callback_job_id"].as_str().unwrap();
    let follows = get(&world, &owner, &format!("/v1/jobs/{follows}")).await.ok();
    assert_eq!((&follows["workspace_id"], &follows["private"]), (&json!(world.other_room), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_opened_lets_go_of_every_rooms_jobs() {
    let world = World::made().await;
    let manager = world.known(Role::Manager);
    let empty = json!({});
    post(&world, &manager, "/v1/lanes/reports/drain", &empty).await.ok();
    let (job, superuser) = (Uuid::now_v7(), world.app.db.superuser());
    for statement in [
        "INSERT INTO job (job_id, org_id, workspace_id, created_at, run_at, state, priority, kind_version, max_attempts,
                          kind, lane, payload)
         VALUES ($1, $2, $3, now(), now(), 'parked', 0, 1, 1, 'system.noop', 'reports', '{}')",
        "INSERT INTO job_wait (job_id, org_id, lane, what, key)
         SELECT $1, $2, 'reports', 'lane', 'reports' WHERE $3::uuid IS NOT NULL",
    ] {
        let query = sqlx::query(statement).bind(job).bind(world.org.0).bind(world.other_room);
        query.execute(superuser).await.unwrap();
    }
    post(&world, &manager, "/v1/lanes/reports/resume", &empty).await.ok();
    let due: bool = sqlx::query_scalar("SELECT due_at IS NOT NULL FROM job_wait WHERE job_id = $1")
        .bind(job)
        .fetch_one(superuser)
        .await
        .unwrap();
    assert!(due, "it waits although its lane is open");
    get(&world, &manager, &format!("/v1/jobs/{job}")).await.is(404, "not_found");
}

async fn watch(world: &World, papers: &Papers) -> Response {
    let response = papers.shown(world.app.anonymous(Method::GET, "/v1/events"), false).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Reads until `wanted` is in the text.
async fn until(response: Response, wanted: &str) -> String {
    let mut text = String::new();
    let mut bytes = response.bytes_stream();
    let reading = async {
        while !text.contains(wanted) {
            text.push_str(&String::from_utf8_lossy(&bytes.next().await.unwrap().unwrap()));
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(15), reading).await.is_ok(),
        "{wanted} did not come: {text}"
    );
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_each_reader_only_what_they_may_see() {
    let world = World::made().await;
    let (owner, manager) = (world.known(Role::Owner), world.known(Role::Manager));
    let (owners, managers) = (watch(&world, &owner).await, watch(&world, &manager).await);
    let elsewhere = echo(&world, &owner, json!({ "workspace_id": world.other_room })).await;
    let private = echo(&world, &manager, json!({ "private": true })).await;
    let owners_own = echo(&world, &owner, json!({ "workspace_id": world.room, "private": true })).await;
    let last = echo(&world, &manager, json!({})).await;
    let seen = until(owners, &last).await;
    assert!(seen.contains(&elsewhere) && seen.contains(&owners_own) && !seen.contains(&private), "{seen}");
    let seen = until(managers, &last).await;
    assert!(seen.contains(&private) && !seen.contains(&elsewhere) && !seen.contains(&owners_own), "{seen}");
}
