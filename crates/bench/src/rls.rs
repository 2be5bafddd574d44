//! What row-level security costs: the same reads through the same code, once as the app's role under its
//! policies, once as the tables' owner, whom no policy holds back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::{ActorId, JobId, OrgId, Role, WorkspaceId};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool};
use store::jobs::{self, Filter, PageAsk};
use store::{Actor, Store, StoreConfig, Tx, Workspaces};
use uuid::Uuid;

use crate::args::RlsArgs;
use crate::measure::quantile;
use crate::rig::Rig;

const ORGS: usize = 50;
/// Workspaces of each organisation.
const ROOMS: usize = 4;

/// One read, both ways; times in milliseconds.
#[derive(Debug, Serialize)]
struct Figure {
    read: &'static str,
    app_p50_ms: f64,
    app_p99_ms: f64,
    owner_p50_ms: f64,
    owner_p99_ms: f64,
    ratio_p50: f64,
    ratio_p99: f64,
}

#[derive(Clone, Copy)]
enum Read {
    Newest,
    OfKind,
    Detail,
}

/// Measures and prints.
pub(crate) async fn run(args: &RlsArgs, json: bool) -> Result<()> {
    let rig = Rig::start().await?;
    let orgs: Vec<(OrgId, Vec<WorkspaceId>)> =
        (0..ORGS).map(|_| (OrgId::new(), (0..ROOMS).map(|_| WorkspaceId::new()).collect())).collect();
    fill(&rig.admin, &orgs, args.jobs).await.context("making the jobs")?;
    let url = rig.servers.database_url("postgres", "postgres");
    let connect = |role| {
        let mut config = StoreConfig::new(url.clone().into(), role);
        config.max_connections = 2;
        config.statement_timeout = Duration::from_secs(60);
        Store::connect_with(&config)
    };
    let (app, owner) = (connect(Some("countersign_app"))?, connect(None)?);
    let everywhere =
        |org: &(OrgId, Vec<WorkspaceId>)| Actor::person(org.0, ActorId::new(), Role::Owner, Workspaces::All);
    let in_one_room = |org: &(OrgId, Vec<WorkspaceId>)| {
        let room: Arc<[WorkspaceId]> = org.1.first().copied().into_iter().collect();
        Actor::person(org.0, ActorId::new(), Role::Manager, Workspaces::Only(room))
    };
    let mut figures = Vec::new();
    let actors: Vec<Actor> = orgs.iter().map(everywhere).collect();
    for (name, read) in [
        ("the newest 50 jobs", Read::Newest),
        ("the newest 50 of a kind", Read::OfKind),
        ("one job with its story", Read::Detail),
    ] {
        figures.push(compare(name, read, &actors, &app, &owner, &rig.admin, args.samples).await?);
    }
    // For somebody bound to a room, the owner's side asks for that room in its filter.
    let bound: Vec<Actor> = orgs.iter().map(in_one_room).collect();
    let name = "one job, for somebody of one room";
    figures.push(compare(name, Read::Detail, &bound, &app, &owner, &rig.admin, args.samples).await?);
    if json {
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    println!("{} jobs of {ORGS} organisations, {} reads each way, interleaved\n", args.jobs, args.samples);
    println!(
        "{:<36}{:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "ms", "app p50", "p99", "owner p50", "p99", "×p50", "×p99"
    );
    for one in figures {
        println!(
            "{:<36}{:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>7.2} {:>7.2}",
            one.read,
            one.app_p50_ms,
            one.app_p99_ms,
            one.owner_p50_ms,
            one.owner_p99_ms,
            one.ratio_p50,
            one.ratio_p99
        );
    }
    Ok(())
}

/// Jobs with ids in the order of time, a tenth of them open, of all organisations in turn.
async fn fill(admin: &PgPool, orgs: &[(OrgId, Vec<WorkspaceId>)], count: usize) -> Result<()> {
    let ids: Vec<Uuid> = orgs.iter().map(|org| org.0.0).collect();
    let rooms: Vec<Uuid> = orgs.iter().flat_map(|org| org.1.iter().map(|room| room.0)).collect();
    let open = count / 10;
    let common = "SELECT uuidv7(make_interval(secs => (n - $4)::float8 / 10)), ($1::uuid[])[n % $5 + 1],
         now(), now(), now(), now(), 0, 1, 1, 'bench.kind_' || n % 7, 'default',
         ($2::uuid[])[(n % $5) * $6 + (n / $5) % $6 + 1], json_build_object('n', n, 'pad', repeat('x', 150))";
    let live = format!(
        "INSERT INTO job (job_id, org_id, created_at, run_at, queued_at, started_at, priority, kind_version,
                          max_attempts, kind, lane, workspace_id, payload, state)
         {common}, 'queued'::job_state FROM generate_series($3::int, $4::int) n"
    );
    let ended = format!(
        "INSERT INTO job_history (job_id, org_id, created_at, run_at, queued_at, started_at, priority,
                 kind_version, max_attempts, kind, lane, workspace_id, payload, state, finished_at, claim_no,
                 attempt, recoveries)
         {common}, CASE WHEN n % 100 = 0 THEN 'dead' ELSE 'succeeded' END::job_state, now(), 1, 1, 0
         FROM generate_series($3::int, $4::int) n"
    );
    let (open, count) = (i32::try_from(open)?, i32::try_from(count)?);
    for (statement, first, last) in [(ended, 1, count - open), (live, count - open + 1, count)] {
        sqlx::query(AssertSqlSafe(statement))
            .bind(&ids)
            .bind(&rooms)
            .bind(first)
            .bind(last)
            .bind(i32::try_from(ORGS)?)
            .bind(i32::try_from(ROOMS)?)
            .execute(admin)
            .await?;
    }
    for statement in ["VACUUM ANALYZE job", "VACUUM ANALYZE job_history", "CHECKPOINT"] {
        sqlx::query(statement).execute(admin).await?;
    }
    Ok(())
}

async fn compare(
    name: &'static str,
    read: Read,
    actors: &[Actor],
    app: &Store,
    owner: &Store,
    admin: &PgPool,
    samples: usize,
) -> Result<Figure> {
    let mut times = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    for number in 0..samples + 20 {
        let Some(actor) = actors.get(number % actors.len()) else { continue };
        let room = match &actor.workspaces {
            Workspaces::All => None,
            Workspaces::Only(rooms) => rooms.first().copied(),
        };
        let job: Uuid = sqlx::query_scalar(
            "SELECT job_id FROM job_history WHERE org_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2)
             ORDER BY job_id OFFSET $3 LIMIT 1",
        )
        .bind(actor.org_id.0)
        .bind(room.map(|room| room.0))
        .bind(i64::try_from(number % 97)?)
        .fetch_one(admin)
        .await?;
        // Who goes first changes, so that warm pages favour neither.
        let sides = [(app, true), (owner, false)];
        let order = if number % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            let Some((store, is_app)) = sides.get(at) else { continue };
            let began = Instant::now();
            one(store, actor, read, JobId(job)).await?;
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            if number >= 20 {
                if *is_app { times.0.push(ms) } else { times.1.push(ms) }
            }
        }
    }
    let (app_p50_ms, app_p99_ms) = (quantile(&mut times.0, 0.5), quantile(&mut times.0, 0.99));
    let (owner_p50_ms, owner_p99_ms) = (quantile(&mut times.1, 0.5), quantile(&mut times.1, 0.99));
    Ok(Figure {
        read: name,
        app_p50_ms,
        app_p99_ms,
        owner_p50_ms,
        owner_p99_ms,
        ratio_p50: app_p50_ms / owner_p50_ms.max(1e-6),
        ratio_p99: app_p99_ms / owner_p99_ms.max(1e-6),
    })
}

async fn one(store: &Store, actor: &Actor, read: Read, job: JobId) -> Result<()> {
    let mut tx = Tx::for_reader(store, actor).await?;
    let ask = PageAsk { cursor: None, limit: 50 };
    match read {
        Read::Newest => {
            let page = jobs::list(&mut tx, &Filter::default(), &ask).await?;
            anyhow::ensure!(page.rows.len() == 50, "the page is not full");
        }
        Read::OfKind => {
            let filter = Filter { kind: Some("bench.kind_3".into()), ..Filter::default() };
            jobs::list(&mut tx, &filter, &ask).await?;
        }
        Read::Detail => {
            jobs::detail(&mut tx, job).await?;
        }
    }
    Ok(())
}
