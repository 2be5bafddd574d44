//! Enqueueing over HTTP: this program's own `api` process, and connections that post one job after the
//! other and read every answer.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use domain::Permissions;
use secrecy::ExposeSecret;
use store::{Store, Tx};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::measure::rate;
use crate::rig::Rig;

/// This program with a subcommand, on the rig's servers; ends with its parent's handle.
pub(crate) fn own_program(rig: &Rig, subcommand: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(subcommand)
        .env("DATABASE_URL", rig.servers.database_url("postgres", "postgres"))
        .env("REDIS_URL", rig.servers.redis_url())
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

/// Posts `count` jobs over `connections` kept-open connections; answers jobs a second and how many
/// answers were not 202.
pub(crate) async fn enqueue(rig: &Rig, connections: usize, count: usize) -> Result<(f64, usize)> {
    let url = rig.servers.database_url("postgres", "postgres");
    let store = Store::connect(url.into(), Some("countersign_app"))?;
    let org = store::orgs::ensure(&store, "bench", "Benchmark").await?;
    let mut tx = Tx::system(&store, org.org_id, "benchmark token").await?;
    let token = store::tokens::create(&mut tx, "bench", Permissions::parse(&["jobs:write"])?, None).await?;
    tx.commit().await?;

    let port = free_port().await?;
    let address = format!("127.0.0.1:{port}");
    let mut api = own_program(rig, "api")?
        .env("COUNTERSIGN_LISTEN", &address)
        .env("COUNTERSIGN_RATE_PER_SECOND", "1000000")
        .spawn()
        .context("starting an api process")?;
    wait_for(&address).await?;

    let body = format!(r#"{{"kind":"system.noop","payload":{{"pad":"{}"}}}}"#, "x".repeat(190));
    let request = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        token.secret.expose_secret(),
        body.len()
    );
    // One request first: the token is looked up and the connection pools are filled outside the window.
    post(&address, request.clone(), 1).await?;
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (address, request) = (address.clone(), request.clone());
        loops.spawn(async move { post(&address, request, count / connections).await });
    }
    let mut bad = 0;
    while let Some(done) = loops.join_next().await {
        bad += done??;
    }
    let took = started.elapsed();
    api.kill().await?;
    let posted = count / connections * connections;
    let sql = "SELECT count(*) FROM job WHERE org_id = $1";
    let stored: i64 = sqlx::query_scalar(sql).bind(org.org_id.0).fetch_one(&rig.admin).await?;
    ensure!(
        usize::try_from(stored).is_ok_and(|stored| stored == posted + 1 - bad),
        "{stored} jobs in the ledger after {posted} posts of which {bad} were refused"
    );
    Ok((rate(posted, took), bad))
}

/// Posts the same request `count` times on one connection; answers how many answers were not 202.
async fn post(address: &str, request: String, count: usize) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    let mut bad = 0;
    for _ in 0..count {
        stream.write_all(request.as_bytes()).await?;
        buffer.clear();
        let status = read_answer(&mut stream, &mut buffer).await?;
        bad += usize::from(status != 202);
    }
    Ok(bad)
}

/// Reads one answer with a content-length; answers its status.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the api closed the connection");
        }
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default()).to_ascii_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse().ok())
            .context("an answer without content-length")?;
        while buffer.len() < head + 4 + length {
            if stream.read_buf(buffer).await? == 0 {
                bail!("the api closed the connection");
            }
        }
        return text
            .split_whitespace()
            .nth(1)
            .and_then(|status| status.parse().ok())
            .context("an answer without a status");
    }
}

async fn free_port() -> Result<u16> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

async fn wait_for(address: &str) -> Result<()> {
    for _ in 0..400 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the api did not start listening on {address} within 20 s")
}
