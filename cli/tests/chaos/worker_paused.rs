//! A worker is stopped past its lease and goes on: what it finishes late is refused, it takes a new name,
//! works on and leaves in good order.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use testkit::eventually;
use uuid::Uuid;

use crate::figures::{secs, tell};
use crate::ledger::{in_hand, now, starts, verdict};
use crate::load::{Door, Load, Wish};
use crate::stage::Stage;

const FENCED: &str = "countersign_fenced_completions_total";
/// A lease, the sweeper's look, and some for a busy machine.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_paused_past_its_lease_finishes_nothing_of_what_was_taken_from_it() {
    let stage = Stage::shared().await;
    let pool = stage.db.superuser();
    let mut paused = stage.fleet.worker("paused").await;
    let mut other = stage.fleet.worker("other").await;
    let event = Wish::event(&stage);
    let load = Load::start(Door::engine(&stage).await, stage.form.of(150, 250), move |n| match n % 10 {
        0..5 => event.clone(),
        5..8 => Wish::noop(),
        _ => Wish::slow(1500),
    });

    let mut held_in_all = 0;
    let mut fenced = 0;
    let mut names = 1;
    for _ in 0..stage.form.of(1, 5) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        paused.pause();
        let paused_at = now(pool).await;
        let held = in_hand(pool, "paused").await;
        assert!(!held.is_empty(), "it had nothing in hand: that proves nothing");
        held_in_all += held.len();
        let in_time = recovered(&stage, &held, paused_at).await;
        let fenced_before = fenced;
        paused.resume();
        let resumed_at = now(pool).await;
        names += 1;
        eventually(Duration::from_secs(20), || async {
            let since = work_since(&stage, resumed_at).await;
            since.0 == names && since.1 > 0
        })
        .await;
        fenced = paused.counter(FENCED).await;
        assert!(fenced > fenced_before, "it finished {} jobs late, and none was refused", held.len());
        let late = finished_under_old_name(&stage, &held, paused_at).await - in_time;
        assert_eq!(late, 0, "completions under a lost claim were accepted");
    }
    let verdict = verdict(&stage, &load.stop().await, Duration::from_secs(45)).await;
    let left = paused.leave(Duration::from_secs(20)).await;
    other.leave(Duration::from_secs(20)).await;
    tell(
        "a worker paused past its lease",
        &format!(
            "{held_in_all} running jobs started anew elsewhere, {fenced} late completions refused, went on under \
             {} new name(s), left in {}; {}",
            names - 1,
            secs(left),
            verdict.line()
        ),
    );
}

/// Waits until the paused worker is lost and everything it held was started anew by the other one; but for
/// what it had just finished when it was paused, whose number is answered.
async fn recovered(stage: &Stage, held: &[Uuid], paused_at: DateTime<Utc>) -> usize {
    let pool = stage.db.superuser();
    let began = Instant::now();
    loop {
        let still_held = in_hand(pool, "paused").await.len();
        let in_time = finished_under_old_name(stage, held, paused_at).await;
        let anew = starts(pool, held)
            .await
            .iter()
            .filter(|(_, at, name)| *at > paused_at && name == "other")
            .count();
        if still_held == 0 && anew + in_time == held.len() {
            return in_time;
        }
        if began.elapsed() > TAKEN_BACK_WITHIN {
            let open: Vec<(i32, String)> = sqlx::query_as(
                "SELECT pid, query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'",
            )
            .fetch_all(pool)
            .await
            .unwrap();
            panic!(
                "of {} jobs {anew} started anew, {in_time} were finished in time, {still_held} are still its own; \
                 open transactions: {open:?}",
                held.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many of these jobs ended as the paused worker's, under the claims it had then.
async fn finished_under_old_name(stage: &Stage, held: &[Uuid], paused_at: DateTime<Utc>) -> usize {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM job_history h JOIN worker w USING (worker_id)
         WHERE h.job_id = ANY($1) AND w.name = 'paused' AND h.started_at <= $2",
    )
    .bind(held)
    .bind(paused_at)
    .fetch_one(stage.db.superuser())
    .await
    .unwrap();
    usize::try_from(count).unwrap()
}

/// Names the paused worker has had, and jobs it finished under the present one that it claimed after `since`.
async fn work_since(stage: &Stage, since: DateTime<Utc>) -> (i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM worker WHERE name = 'paused'),
                (SELECT count(*) FROM job_history h JOIN worker w USING (worker_id)
                 WHERE w.name = 'paused' AND w.state = 'running' AND h.started_at > $1)",
    )
    .bind(since)
    .fetch_one(stage.db.superuser())
    .await
    .unwrap()
}
