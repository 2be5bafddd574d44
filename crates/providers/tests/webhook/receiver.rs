//! The other side: receivers that speak HTTP, and traps that only count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Serves a router and returns where.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), router)
}

/// Serves a router on a bound listener.
pub(crate) fn serve_on(listener: TcpListener, router: Router) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Sends fixed bytes to whoever connects, after reading something, and hangs up.
pub(crate) async fn raw(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

/// A listener that counts connections; the count should stay zero.
pub(crate) struct Trap {
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Trap {
    pub(crate) async fn new() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&hits);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, hits }
    }

    /// Connections so far. Connects once itself, so that whatever came before
    /// has been counted by the time it answers.
    pub(crate) async fn hits(&self) -> usize {
        let before = self.hits.load(Ordering::SeqCst);
        let own = tokio::net::TcpStream::connect(self.address).await.unwrap();
        while self.hits.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        drop(own);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        self.hits.fetch_sub(1, Ordering::SeqCst) - 1
    }
}
