//! Listening, and stopping without cutting anybody off.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::ListenerExt;
use store::accounts::throttle;
use tokio::net::TcpListener;

use crate::routes::health;
use crate::state::Api;

/// Longest the answers under way may take once the process begins to stop.
const GRACE: Duration = Duration::from_secs(10);

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
    // Answers are small: waiting to fill a packet would only add delay.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
    });
    tokio::spawn(look_after_servers(api.clone()));
    tokio::spawn(prune_sign_ins(api.clone()));
    let begun = stopping.clone();
    // Who calls is known by the connection's address.
    let app = crate::app(api).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        begun.cancel();
    });
    tokio::select! {
        result = serving => result,
        () = async { stopping.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
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
