//! The live stream: whoever watches sees each change, can go on where he left off, and is told when he
//! missed something. Nobody else costs anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use domain::{JobError, JobId, JobState, OrgId};
use queue::events::{Event, JobChange, Watch};
use queue::ops::jobs;
use queue::{NewJob, Queue};
use redis::AsyncCommands;
use serde::Deserialize;
use serde_json::json;
use testkit::{Book, TestDb, act, enqueue, eventually, job, kind, ok, worker};

const SOON: Duration = Duration::from_secs(10);

/// A change as a browser reads it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    job_id: JobId,
    kind: String,
    lane: String,
    state: String,
}

/// Reads `count` changes; answers them with their ids.
async fn read(watch: &mut Watch, count: usize) -> Vec<(String, Seen)> {
    let mut seen = Vec::new();
    let all = async {
        while seen.len() < count {
            for event in watch.next().await.unwrap() {
                match event {
                    Event::Change { id, json } => seen.push((id, serde_json::from_str(&json).unwrap())),
                    Event::Approval { .. } => panic!("nothing here is approved"),
                    Event::Reset => panic!("nothing was missed"),
                }
            }
        }
    };
    tokio::time::timeout(SOON, all).await.expect("the changes come");
    seen
}

fn states(seen: &[(String, Seen)], job: JobId) -> Vec<&str> {
    seen.iter().filter(|(_, change)| change.job_id == job).map(|(_, change)| &*change.state).collect()
}

/// Waits until this process knows that somebody watches.
async fn heard_of(queue: &Queue, org: OrgId) {
    eventually(SOON, || async { queue.events().is_watched(org) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_sees_each_change_of_his_organisation_and_no_other() {
    let db = TestDb::new().await;
    let book =
        Book::of([kind("plain"), kind("failing").run(|_| async { Err(JobError::fail("no", "never")) })]);
    let (queue, workers) = (db.queue().await, db.queue().await);
    let (mine, theirs) = (db.org("mine").await, db.org("theirs").await);
    let mut watch = queue.events().watch(mine, None).await.unwrap();
    heard_of(&workers, mine).await;
    let _crew = worker::start(&workers, &book, worker::slots(1)).await;
    enqueue(&queue, theirs, "plain", 5).await;
    let good = enqueue(&queue, mine, "plain", 1).await[0];
    let bad = enqueue(&queue, mine, "failing", 1).await[0];
    let seen = read(&mut watch, 6).await;
    assert_eq!(states(&seen, good), ["queued", "running", "succeeded"]);
    assert_eq!(states(&seen, bad), ["queued", "running", "dead"]);
    assert_eq!((&*seen[0].1.kind, &*seen[0].1.lane), ("plain", "default"));
    assert!(!queue.events().is_watched(theirs));
    let stream = format!("{{{}}}:events:{theirs}", db.namespace());
    assert!(!db.redis().await.exists::<_, bool>(stream).await.unwrap(), "nobody watches them");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_and_sweeps_do_is_seen_as_well() {
    let db = TestDb::new().await;
    let book = Book::of([kind("plain").run(|_| async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        ok()
    })]);
    let queue = db.queue().await;
    let org = db.org("one").await;
    let mut watch = queue.events().watch(org, None).await.unwrap();
    let later = Some(chrono::Utc::now() + chrono::Duration::hours(1));
    let mut scheduled = Vec::new();
    for _ in 0..2 {
        let job = NewJob { run_at: later, ..job(org, "plain", &json!({})) };
        scheduled.push(queue.enqueue(job).await.unwrap().job_id);
    }
    let (_, after) = act!(queue, tx => jobs::cancel(&mut tx, org, scheduled[0], None, None));
    queue.after(after).await;
    let after = act!(queue, tx => jobs::retry_now(&mut tx, org, scheduled[1], None));
    queue.after(after).await;
    let deadline = Some(chrono::Utc::now() + chrono::Duration::milliseconds(300));
    let late = NewJob { deadline_at: deadline, ..job(org, "plain", &json!({})) };
    let late = queue.enqueue(late).await.unwrap().job_id;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let _tender = worker::tend(&queue, &book);
    let seen = read(&mut watch, 6).await;
    assert_eq!(states(&seen, scheduled[0]), ["scheduled", "cancelled"]);
    assert_eq!(states(&seen, scheduled[1]), ["scheduled", "queued"]);
    assert_eq!(states(&seen, late), ["queued", "expired"]);
    // A worker dies with one: it is back in its lane. A new process hears of watchers within a second.
    let doomed = worker::Apart::start(db.config(), &book, worker::slots(8)).await;
    db.reaches(scheduled[1], JobState::Running, SOON).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let job = enqueue(&queue, org, "plain", 1).await[0];
    db.reaches(job, JobState::Running, SOON).await;
    doomed.kill();
    db.reaches(job, JobState::Queued, SOON).await;
    let mut seen = Vec::new();
    while states(&seen, job).len() < 3 {
        seen.extend(read(&mut watch, 1).await);
    }
    assert_eq!(states(&seen, job), ["queued", "running", "queued"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_after_the_last_change_he_saw() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let org = db.org("one").await;
    let mut watch = queue.events().watch(org, None).await.unwrap();
    let first = enqueue(&queue, org, "plain", 3).await;
    let seen = read(&mut watch, 3).await;
    drop(watch);
    let missed = enqueue(&queue, org, "plain", 3).await;
    let mut watch = queue.events().watch(org, Some(seen[1].0.clone())).await.unwrap();
    let rest: Vec<JobId> = read(&mut watch, 4).await.into_iter().map(|(_, change)| change.job_id).collect();
    assert_eq!(rest[0], seen[2].1.job_id);
    let (mut rest, mut missed) = (rest[1..].to_vec(), missed);
    rest.sort_unstable();
    missed.sort_unstable();
    assert_eq!(rest, missed, "and nothing of {first:?} again");
    // Up to date, with nothing to tell.
    let newest = seen[2].0.clone();
    let mut watch = queue.events().watch(org, Some(newest)).await.unwrap();
    assert_eq!(read(&mut watch, 3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_missed_changes_is_told_to_look_at_the_ledger() {
    let db = TestDb::new().await;
    let queue = db.queue().await;
    let org = db.org("one").await;
    let mut watch = queue.events().watch(org, None).await.unwrap();
    enqueue(&queue, org, "plain", 1).await;
    let (first, change) = read(&mut watch, 1).await.remove(0);
    drop(watch);
    let change = JobChange {
        job_id: change.job_id,
        kind: "plain".into(),
        lane: "default".into(),
        state: JobState::Running,
    };
    for _ in 0..24 {
        queue.events().publish(vec![(org, change.clone()); 500]).await;
    }
    let stream = format!("{{{}}}:events:{org}", db.namespace());
    let kept: usize = db.redis().await.xlen(stream).await.unwrap();
    assert!((10_000..12_000).contains(&kept), "the stream is bounded: {kept}");
    let told = async |last: &str| {
        let mut watch = queue.events().watch(org, Some(last.into())).await.unwrap();
        tokio::time::timeout(SOON, watch.next()).await.unwrap().unwrap()
    };
    assert_eq!(told(&first).await, [Event::Reset], "the stream was cut");
    assert_eq!(told("99999999999999-0").await, [Event::Reset], "an id from another life of Redis");
    assert_eq!(told("nonsense").await, [Event::Reset]);
    queue.dispatch().forget_everything().await.unwrap();
    assert_eq!(told(&first).await, [Event::Reset], "the stream is lost");
    // After that, the reader is up to date and sees what comes.
    let mut watch = queue.events().watch(org, Some(first)).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), [Event::Reset]);
    heard_of(&queue, org).await;
    let next = enqueue(&queue, org, "plain", 1).await[0];
    assert_eq!(states(&read(&mut watch, 1).await, next), ["queued"]);
}
