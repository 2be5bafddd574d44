//! The figures, one function each, in the order of the table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use apalis_core::error::BoxDynError;
use indicatif::{ProgressBar, ProgressStyle};
use queue::backend::Success;
use queue::worker::{Assignment, WorkerConfig};
use workers::{Crew, Run};

use crate::args::QueueArgs;
use crate::measure::{median, quantile, rate};
use crate::report::Report;
use crate::rig::Rig;
use crate::{baseline, fsync, http, idle};

/// A handler that only counts; with `arrivals` it also notes when each job reached it.
#[derive(Default)]
struct Count {
    done: AtomicUsize,
    arrivals: Option<Mutex<HashMap<domain::JobId, Instant>>>,
}

impl Run for Count {
    async fn run(&self, assignment: Assignment) -> Result<Success, BoxDynError> {
        if let Some(arrivals) = &self.arrivals {
            let mut arrivals = arrivals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            arrivals.insert(assignment.job.job_id, Instant::now());
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(Success::default())
    }
}

pub(crate) async fn queue(args: &QueueArgs, quiet: bool) -> Result<Report> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(12) };
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    let step = |what: &'static str| {
        bar.set_message(what);
        bar.inc(1);
    };
    step("starting private servers");
    let rig = Rig::start().await?;
    let mut report = Report { runs: args.runs(), ..Report::default() };
    report.fsync_ms = Some(fsync::probe(&std::env::temp_dir())?);

    if args.wants("enqueue_single") {
        step("single enqueues");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.runs() {
            rig.clear().await?;
            ours.push(enqueue_single(&rig, 100, args.count(100_000), false).await?);
            let count = args.count(40_000);
            theirs.push(rate(count, baseline::push_loop(&rig, 100, count).await?));
        }
        report.enqueue_single_per_s = Some(median(ours));
        report.apalis_postgres_push_per_s = Some(median(theirs));
    }
    if args.wants("enqueue_keyed") {
        step("single enqueues with keys");
        let mut rates = Vec::new();
        for _ in 0..args.runs() {
            rig.clear().await?;
            rates.push(enqueue_single(&rig, 100, args.count(100_000), true).await?);
        }
        report.enqueue_keyed_per_s = Some(median(rates));
    }
    if args.wants("enqueue_bulk") {
        step("bulk enqueues");
        let mut rates = Vec::new();
        for _ in 0..args.runs() {
            rig.clear().await?;
            rates.push(enqueue_bulk(&rig, args.count(400_000)).await?);
        }
        report.enqueue_bulk_per_s = Some(median(rates));
    }
    let drained = args.count(50_000);
    if args.wants("drain") {
        step("drain");
        let mut rates = Vec::new();
        for _ in 0..args.runs() {
            rig.clear().await?;
            rates.push(drain(&rig, drained, drained).await?);
        }
        report.drain_per_s = Some(median(rates));
    }
    if args.wants("end_to_end") {
        step("end to end");
        let (mut at_200, mut at_1000) = (Vec::new(), Vec::new());
        for _ in 0..args.runs() {
            rig.clear().await?;
            at_200.push(end_to_end(&rig, 200, args.count(100_000)).await?);
            rig.clear().await?;
            at_1000.push(end_to_end(&rig, 1000, args.count(200_000)).await?);
        }
        report.end_to_end_per_s = Some(median(at_200));
        report.end_to_end_1000_per_s = Some(median(at_1000));
    }
    if args.wants("pickup") {
        step("pick-up latency");
        let (mut p50, mut p99) = (Vec::new(), Vec::new());
        for _ in 0..args.runs() {
            rig.clear().await?;
            let mut times = pickup(&rig, if args.quick { 200 } else { 500 }).await?;
            p50.push(quantile(&mut times, 0.50));
            p99.push(quantile(&mut times, 0.99));
        }
        report.pickup_p50_ms = Some(median(p50));
        report.pickup_p99_ms = Some(median(p99));
    }
    if args.wants("drain_backlog") {
        step("drain with a backlog");
        let (backlog, mut ratios) = (args.count(500_000), Vec::new());
        for _ in 0..args.runs() {
            rig.clear().await?;
            let plain = drain(&rig, drained, drained).await?;
            rig.clear().await?;
            ratios.push(drain(&rig, backlog, drained).await? / plain);
        }
        report.drain_backlog_500k_ratio = Some(median(ratios));
    }
    if args.wants("http") {
        step("POST /v1/jobs");
        let (mut rates, mut errors) = (Vec::new(), 0);
        for _ in 0..args.runs() {
            rig.clear().await?;
            let (rate, bad) = http::enqueue(&rig, 100, args.count(50_000)).await?;
            rates.push(rate);
            errors += bad;
        }
        report.http_enqueue_per_s = Some(median(rates));
        #[allow(clippy::cast_precision_loss)]
        let errors = errors as f64;
        report.http_errors = Some(errors);
    }
    if args.wants("idle") {
        step("idle worker");
        rig.clear().await?;
        let idle = idle::worker(&rig, Duration::from_secs(if args.quick { 5 } else { 20 })).await?;
        report.idle_rss_mb = Some(idle.rss_mb);
        report.idle_cpu_pct = Some(idle.cpu_pct);
    }
    if args.wants("drain_history") {
        step("drain with history");
        let mut ratios = Vec::new();
        let mut plain = Vec::new();
        for _ in 0..args.runs() {
            rig.clear().await?;
            plain.push(drain(&rig, drained, drained).await?);
        }
        history(&rig, args.count(2_000_000)).await?;
        for plain in plain {
            rig.clear().await?;
            ratios.push(drain(&rig, drained, drained).await? / plain);
        }
        report.drain_history_2m_ratio = Some(median(ratios));
    }
    bar.finish_and_clear();
    let Rig { servers, .. } = rig;
    servers.stop().await?;
    Ok(report)
}

async fn enqueue_single(rig: &Rig, callers: usize, count: usize, keyed: bool) -> Result<f64> {
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (queue, job) = (rig.queue.clone(), rig.job());
        loops.spawn(async move {
            for _ in 0..count / callers {
                let mut job = job.clone();
                job.job_id = domain::JobId::new();
                if keyed {
                    job.idempotency_key = Some(job.job_id.to_string());
                }
                queue.enqueue(job).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = loops.join_next().await {
        done??;
    }
    let took = started.elapsed();
    let count = count / callers * callers;
    let stored = rig.open_jobs().await?;
    anyhow::ensure!(
        usize::try_from(stored).is_ok_and(|stored| stored == count),
        "{stored} of {count} stored"
    );
    Ok(rate(count, took))
}

async fn enqueue_bulk(rig: &Rig, count: usize) -> Result<f64> {
    const CALLERS: usize = 4;
    let chunks: Vec<_> = (0..CALLERS).map(|_| rig.jobs(count / CALLERS)).collect();
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for chunk in chunks {
        let queue = rig.queue.clone();
        loops.spawn(async move {
            for outcome in queue.enqueue_many(chunk).await {
                outcome?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = loops.join_next().await {
        done??;
    }
    let took = started.elapsed();
    let stored = rig.open_jobs().await?;
    anyhow::ensure!(
        usize::try_from(stored).is_ok_and(|stored| stored == count),
        "{stored} of {count} stored"
    );
    Ok(rate(count, took))
}

async fn crew(rig: &Rig, run: &Arc<Count>, slots: usize) -> Result<Crew> {
    let config = WorkerConfig { concurrency: Some(slots), ..WorkerConfig::default() };
    Ok(Crew::start(rig.queue.clone(), rig.registry.clone(), run.clone(), config).await?)
}

/// Queues `queued` jobs and measures how fast one worker works off the first `counted` of them.
async fn drain(rig: &Rig, queued: usize, counted: usize) -> Result<f64> {
    rig.fill(queued).await?;
    let run = Arc::new(Count::default());
    let started = Instant::now();
    let crew = crew(rig, &run, 1000).await?;
    let open_at_the_end = i64::try_from(queued - counted)?;
    while run.done.load(Ordering::Relaxed) < counted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = if open_at_the_end == 0 {
        // The handlers are through; the last completions are on their way to the ledger.
        while rig.open_jobs().await? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        started.elapsed()
    } else {
        started.elapsed()
    };
    crew.leave(Duration::from_secs(30)).await;
    if open_at_the_end == 0 {
        rig.expect_succeeded(queued).await?;
    }
    Ok(rate(counted, took))
}

/// Callers enqueue one job at a time while one worker runs them; ends when the ledger is empty.
async fn end_to_end(rig: &Rig, callers: usize, count: usize) -> Result<f64> {
    let run = Arc::new(Count::default());
    let crew = crew(rig, &run, callers).await?;
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (queue, job) = (rig.queue.clone(), rig.job());
        loops.spawn(async move {
            for _ in 0..count / callers {
                let mut job = job.clone();
                job.job_id = domain::JobId::new();
                queue.enqueue(job).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = loops.join_next().await {
        done??;
    }
    let count = count / callers * callers;
    while run.done.load(Ordering::Relaxed) < count || rig.open_jobs().await? > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = started.elapsed();
    crew.leave(Duration::from_secs(30)).await;
    rig.expect_succeeded(count).await?;
    Ok(rate(count, took))
}

/// Milliseconds from the enqueue call to the handler's start, at 50 jobs a second.
async fn pickup(rig: &Rig, count: usize) -> Result<Vec<f64>> {
    let run = Arc::new(Count { arrivals: Some(Mutex::default()), ..Count::default() });
    let crew = crew(rig, &run, 64).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut called = Vec::with_capacity(count);
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..count {
        ticks.tick().await;
        let job = rig.job();
        called.push((job.job_id, Instant::now()));
        rig.queue.enqueue(job).await?;
    }
    while run.done.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    crew.leave(Duration::from_secs(10)).await;
    rig.expect_succeeded(count).await?;
    let arrivals = run.arrivals.as_ref().map(|arrivals| {
        std::mem::take(&mut *arrivals.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    });
    let arrivals = arrivals.unwrap_or_default();
    Ok(called
        .into_iter()
        .filter_map(|(job, at)| Some(arrivals.get(&job)?.duration_since(at).as_secs_f64() * 1000.0))
        .collect())
}

/// Finished jobs of other organisations, as if the queue had run for a long time.
async fn history(rig: &Rig, count: usize) -> Result<()> {
    let sql = "INSERT INTO job_history (job_id, org_id, created_at, run_at, queued_at, started_at, finished_at,
                   claim_no, state, priority, kind_version, attempt, max_attempts, recoveries, kind, lane, payload)
               SELECT uuidv7(make_interval(secs => -$1::int + n)), '00000000-0000-7000-8000-000000000000', t, t, t, t, t,
                   1, 'succeeded', 0, 1, 1, 8, 0, 'system.noop', 'default',
                   json_build_object('pad', repeat('x', 190))
               FROM generate_series(1, $1::int) n, LATERAL (SELECT now() - make_interval(secs => $1::int - n) AS t) x";
    sqlx::query(sql).bind(i32::try_from(count)?).execute(&rig.admin).await?;
    sqlx::query("VACUUM ANALYZE job_history").execute(&rig.admin).await?;
    Ok(())
}
