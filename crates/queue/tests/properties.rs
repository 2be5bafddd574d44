//! Whatever people, failures and crashes do in whatever order: each acknowledged job ends, once.
//!
//! Each seed is a random run of operations against real servers. A failure names its seed; run it alone
//! with `COUNTERSIGN_SEED=<seed>`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::{JobError, JobId, LimitUse, OrgId};
use queue::ops::lanes::{self, LaneMode, LanePatch};
use queue::ops::{After, batches, jobs};
use queue::tend::Tender;
use queue::{EnqueueError, NewJob, OpsError, Queue};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use testkit::worker::Apart;
use testkit::{Book, TestDb, job, kind, ok, worker};
use uuid::Uuid;

const LANES: [&str; 3] = ["critical", "default", "bulk"];
const KINDS: [&str; 7] = ["quick", "slow", "flaky", "failing", "snoozing", "panicking", "limited"];
const OPERATIONS: usize = 120;

fn book() -> Arc<Book> {
    Book::of([
        kind("quick"),
        kind("slow").run(|_| async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            ok()
        }),
        kind("flaky").run(|running| async move {
            if running.job.attempt < 3 { Err(JobError::retry("shaky", "again")) } else { ok() }
        }),
        kind("failing").run(|_| async { Err(JobError::fail("no", "never")) }),
        kind("snoozing").run(|running| async move {
            if running.job.claim_no < 3 {
                let until = chrono::Utc::now() + chrono::Duration::milliseconds(80);
                return Err(JobError::snooze("window", "x", until));
            }
            ok()
        }),
        kind("panicking").run(|running| async move {
            if running.job.attempt == 1 {
                // A panic that leaves the test's output alone.
                std::panic::resume_unwind(Box::new("the first attempt"));
            }
            ok()
        }),
        kind("limited").limits(|_| vec![LimitUse { name: "calls".into(), key: "x".into(), units: 1 }]),
    ])
}

/// One run: the servers' side, whoever works, and what was acknowledged.
struct Run {
    db: TestDb,
    book: Arc<Book>,
    queue: Queue,
    orgs: Vec<OrgId>,
    random: StdRng,
    workers: Vec<Apart>,
    tender: Option<Tender>,
    taken: BTreeMap<JobId, OrgId>,
    /// Callbacks that their batches promise.
    callbacks: BTreeSet<JobId>,
}

impl Run {
    async fn start(seed: u64) -> Self {
        let db = TestDb::new().await;
        let queue = db.queue().await;
        let orgs = vec![db.org("one").await, db.org("two").await];
        sqlx::query(
            "INSERT INTO rate_limit (rate_limit_id, org_id, name, units, period_ms, burst)
             VALUES (gen_random_uuid(), NULL, 'calls', 100, 1000, 5)",
        )
        .execute(db.superuser())
        .await
        .unwrap();
        queue.refresh_settings().await.unwrap();
        let book = book();
        let tender = Some(worker::tend(&queue, &book));
        Self {
            db,
            book,
            queue,
            orgs,
            random: StdRng::seed_from_u64(seed),
            workers: Vec::new(),
            tender,
            taken: BTreeMap::new(),
            callbacks: BTreeSet::new(),
        }
    }

    fn org(&mut self) -> OrgId {
        *self.orgs.choose(&mut self.random).unwrap()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    fn new_job(&mut self, org: OrgId) -> NewJob {
        let mut new = job(org, KINDS.choose(&mut self.random).unwrap(), &json!({}));
        new.lane = (*LANES.choose(&mut self.random).unwrap()).into();
        new.priority = self.random.random_range(-100..=100);
        let soon = |ms: i64| Some(chrono::Utc::now() + chrono::Duration::milliseconds(ms));
        if self.chance(20) {
            new.run_at = soon(self.random.random_range(1..600));
        }
        if self.chance(15) {
            new.deadline_at = soon(self.random.random_range(700..1500));
        }
        if self.chance(20) {
            new.idempotency_key = Some(format!("key {}", self.random.random_range(0..10)));
        }
        if self.chance(15) {
            new.unique_key = Some(format!("unique {}", self.random.random_range(0..5)));
        }
        if self.chance(15) {
            let mut next = job(org, "quick", &json!({}));
            next.lane = "default".into();
            new.successors.push(next);
        }
        new
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..40 => self.enqueue().await,
            40..48 => self.batch().await,
            48..62 => self.cancel().await,
            62..72 => self.run_now().await,
            72..82 => self.change_a_lane().await,
            82..86 => self.queue.dispatch().forget_everything().await.unwrap(),
            86..93 => self.a_worker_comes().await,
            93..97 => self.a_worker_goes().await,
            _ => self.the_tender_changes().await,
        }
        if self.chance(30) {
            tokio::time::sleep(Duration::from_millis(self.random.random_range(1..60))).await;
        }
    }

    async fn enqueue(&mut self) {
        let org = self.org();
        let count = self.random.random_range(1..12);
        let jobs: Vec<NewJob> = (0..count).map(|_| self.new_job(org)).collect();
        for outcome in self.queue.enqueue_many(jobs).await {
            match outcome {
                Ok(done) => {
                    self.taken.insert(done.job_id, org);
                }
                // Keys are drawn from few, payload and kind differ.
                Err(EnqueueError::KeyReused { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    async fn batch(&mut self) {
        let org = self.org();
        let mut members: Vec<NewJob> = (0..self.random.random_range(1..6))
            .map(|_| NewJob { idempotency_key: None, unique_key: None, ..self.new_job(org) })
            .collect();
        let callback = job(org, "quick", &json!({}));
        self.callbacks.insert(callback.job_id);
        let mut tx = self.queue.pool().begin().await.unwrap();
        let (_, done) =
            batches::create(&self.queue, &mut tx, org, "b", &mut members, Some(callback)).await.unwrap();
        tx.commit().await.unwrap();
        // Whoever dies here announces nothing: the sweep does.
        if self.chance(80) {
            self.queue.announce(&members);
        }
        self.taken.extend(done.into_iter().map(|done| (done.job_id, org)));
    }

    fn any_job(&mut self) -> Option<(JobId, OrgId)> {
        let jobs: Vec<_> = self.taken.iter().map(|(job, org)| (*job, *org)).collect();
        jobs.choose(&mut self.random).copied()
    }

    /// Carries out what was decided, if it was; a job that ended meanwhile is nobody's mistake.
    async fn carry_out(&mut self, decided: Result<After, OpsError>) {
        match decided {
            // One in five processes dies between the commit and what follows it.
            Ok(after) => {
                if self.chance(80) {
                    self.queue.after(after).await;
                }
            }
            Err(OpsError::Conflict(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn cancel(&mut self) {
        let Some((job, org)) = self.any_job() else { return };
        let mut tx = self.queue.pool().begin().await.unwrap();
        let decided = jobs::cancel(&mut tx, org, job, None, None).await.map(|(_, after)| after);
        tx.commit().await.unwrap();
        self.carry_out(decided).await;
    }

    async fn run_now(&mut self) {
        let Some((job, org)) = self.any_job() else { return };
        let mut tx = self.queue.pool().begin().await.unwrap();
        let decided = jobs::retry_now(&mut tx, org, job, None).await;
        tx.commit().await.unwrap();
        self.carry_out(decided).await;
    }

    async fn change_a_lane(&mut self) {
        let modes = [LaneMode::Open, LaneMode::Paused, LaneMode::Draining];
        let (lane, mode) =
            (*LANES.choose(&mut self.random).unwrap(), *modes.choose(&mut self.random).unwrap());
        let (org, cap) = (self.org(), self.random.random_range(1..4));
        let cap = self.chance(60).then_some(cap);
        let kind = self.random.random_range(0..3);
        let mut tx = self.queue.pool().begin().await.unwrap();
        let decided = match kind {
            0 => lanes::set_org_mode(&mut tx, org, lane, mode, None).await,
            1 => lanes::set_org_cap(&mut tx, org, lane, cap, None).await,
            _ => {
                lanes::set_platform(&mut tx, lane, LanePatch { mode: Some(mode), ..LanePatch::default() })
                    .await
            }
        };
        tx.commit().await.unwrap();
        self.carry_out(decided).await;
    }

    async fn a_worker_comes(&mut self) {
        if self.workers.len() < 3 {
            let worker = Apart::start(self.db.config(), &self.book, worker::slots(4)).await;
            self.workers.push(worker);
        }
    }

    async fn a_worker_goes(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.workers.len());
        let worker = self.workers.swap_remove(at);
        if self.chance(60) {
            worker.kill();
        } else {
            worker.leave(Duration::from_millis(50)).await;
        }
    }

    async fn the_tender_changes(&mut self) {
        if let Some(tender) = self.tender.take() {
            tender.stop().await;
        }
        self.tender = Some(worker::tend(&self.queue, &self.book));
    }

    /// Peace: everything open, somebody working. Then the books are read.
    async fn settle(mut self) {
        for lane in LANES {
            let mut tx = self.queue.pool().begin().await.unwrap();
            let patch = LanePatch { mode: Some(LaneMode::Open), ..LanePatch::default() };
            let after = lanes::set_platform(&mut tx, lane, patch).await.unwrap();
            tx.commit().await.unwrap();
            self.queue.after(after).await;
            for org in self.orgs.clone() {
                let mut tx = self.queue.pool().begin().await.unwrap();
                let after = lanes::set_org_mode(&mut tx, org, lane, LaneMode::Open, None).await.unwrap();
                tx.commit().await.unwrap();
                self.queue.after(after).await;
            }
        }
        while self.workers.len() < 2 {
            self.a_worker_comes().await;
        }
        self.db.all_ended(Duration::from_secs(40)).await;

        let ended: Vec<(Uuid, String)> = sqlx::query_as("SELECT job_id, state::text FROM job_history")
            .fetch_all(self.db.superuser())
            .await
            .unwrap();
        let ids: BTreeSet<Uuid> = ended.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), ended.len(), "a job ended twice");
        for job in self.taken.keys().chain(&self.callbacks) {
            assert!(ids.contains(&job.0), "{job} was acknowledged and is nowhere");
        }
        for (query, why) in [
            ("SELECT count(*) FROM job_wait", "a wait outlived its job"),
            ("SELECT count(*) FROM job_unique", "a unique key outlived its job"),
            (
                "SELECT count(*) FROM job_batch WHERE completed_at IS NULL OR succeeded + failed <> total",
                "a batch miscounted",
            ),
            (
                "SELECT count(*) FROM job_batch b WHERE (succeeded, failed) IS DISTINCT FROM
                 (SELECT (count(*) FILTER (WHERE h.state = 'succeeded'), count(*) FILTER (WHERE h.state <> 'succeeded'))
                  FROM job_history h WHERE h.batch_id = b.batch_id)",
                "a batch counted something else than its jobs",
            ),
            (
                "SELECT count(*) FROM job_history h WHERE state = 'succeeded' AND successors IS NOT NULL
                 AND (SELECT count(*) FROM job_history n WHERE n.parent_job_id = h.job_id) <> 1",
                "a successor is missing, or is there twice",
            ),
            (
                "SELECT count(*) FROM job_history h WHERE state <> 'succeeded' AND successors IS NOT NULL
                 AND EXISTS (SELECT FROM job_history n WHERE n.parent_job_id = h.job_id)",
                "a successor of a job that did not succeed",
            ),
            (
                "SELECT count(*) FROM job_history h WHERE idempotency_key IS NOT NULL AND NOT EXISTS
                 (SELECT FROM job_key k WHERE k.org_id = h.org_id AND k.kind = h.kind AND k.key = h.idempotency_key)",
                "a key was lost",
            ),
        ] {
            assert_eq!(self.db.number(query).await, 0, "{why}");
        }
        for (id, state) in &ended {
            if state == "succeeded" {
                assert!(self.book.runs_of(JobId(*id)) > 0, "{id} succeeded without having run");
            }
        }
        println!("{} jobs: {:?}", ended.len(), self.db.counts().await);
    }
}

async fn run(seed: u64) {
    println!("COUNTERSIGN_SEED={seed}");
    let mut run = Run::start(seed).await;
    for _ in 0..OPERATIONS {
        run.step().await;
    }
    run.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_job_ends_exactly_once() {
    run(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_job_ends_exactly_once_in_another_order() {
    run(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_job_ends_exactly_once_in_an_order_nobody_tried() {
    let seed = std::env::var("COUNTERSIGN_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    run(seed.unwrap_or_else(|| rand::random_range(1000..1_000_000))).await;
}
