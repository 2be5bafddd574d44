//! Listening, and stopping without cutting anybody off. Refuses to wait for ever for a request to begin.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use store::accounts::throttle;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::routes::health;
use crate::state::Api;

/// Longest the answers under way may take once the process begins to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Longest an HTTP/2 client may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How often the servers' gauges are brought up to date.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often what sign-ins left behind is taken away.
const PRUNE_EVERY: Duration = Duration::from_secs(300);

/// Answers on `listener` until `stop` is done; then takes no more, ends the event streams and waits a
/// little for the answers under way.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopping = api.stopping().clone();
    let patience = api.config().head_timeout;
    tokio::spawn(look_after_servers(api.clone()));
    tokio::spawn(prune_sign_ins(api.clone()));
    let app = crate::app(api);
    let connections = TaskTracker::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection { app: app.clone(), peer, patience, stopping: stopping.clone() };
                connections.spawn(connection.serve(stream));
            }
            // Whoever hung up while they were let in.
            Err(error) if hung_up(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken; trying again in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    stopping.cancel();
    drop(listener);
    connections.close();
    // Who does not end by then is cut off.
    let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    Ok(())
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Somebody's connection.
struct Connection {
    app: Router,
    peer: SocketAddr,
    patience: Duration,
    stopping: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small: waiting to fill a packet would only add delay.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let Self { app, peer, patience, stopping } = self;
        let mut server = Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new()).header_read_timeout(patience);
        let mut pings = server.http2();
        pings.timer(TokioTimer::new()).keep_alive_interval(patience).keep_alive_timeout(PING_TIMEOUT);

        let begun = Arc::new(AtomicBool::new(false));
        let service = {
            let begun = begun.clone();
            service_fn(move |mut request: http::Request<Incoming>| {
                begun.store(true, Ordering::Relaxed);
                // Who calls is known by the connection's address.
                request.extensions_mut().insert(ConnectInfo(peer));
                app.clone().oneshot(request.map(Body::new))
            })
        };
        let talk = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(talk);
        // The timeouts above begin once it is known which HTTP is spoken; this one also ends those who never say.
        let first = tokio::time::sleep(patience);
        tokio::pin!(first);
        let (mut waits, mut stays) = (true, true);
        loop {
            tokio::select! {
                ended = &mut talk => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection broke");
                    }
                    return;
                }
                () = &mut first, if waits => {
                    waits = false;
                    if !begun.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = stopping.cancelled(), if stays => {
                    stays = false;
                    talk.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Alerts read the gauges also when nobody asks for readiness.
async fn look_after_servers(api: Api) {
    let stopping = api.stopping().clone();
    while !stopping.is_cancelled() {
        health::check(&api).await;
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Keeps the throttle's buckets, forgotten devices and old resets from piling up.
async fn prune_sign_ins(api: Api) {
    let stopping = api.stopping().clone();
    while !stopping.is_cancelled() {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
        if let Err(error) = throttle::prune(api.store(), api.now()).await {
            tracing::debug!(%error, "old sign-in data was not taken away");
        }
    }
}
