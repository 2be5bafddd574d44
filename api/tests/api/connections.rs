//! Connections: who says nothing is not waited for, who listens is.

use std::time::Duration;

use api::ApiConfig;
use domain::Role;
use futures::future::join_all;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::App;
use crate::sign_in::browser::Browser;
use crate::sign_in::people;

const PATIENCE: Duration = Duration::from_millis(500);

/// Everything the server says until it hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let ended = tokio::time::timeout(PATIENCE * 10, stream.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "the server still waits: {}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_request_that_does_not_begin_in_time_is_not_waited_for() {
    let app = App::configured(ApiConfig { head_timeout: PATIENCE, ..ApiConfig::default() }).await;
    for said in
        ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), said.ends_with("\r\n\r\n"), "{said:?}: {answer}");
    }
    // An answer that goes on for longer is none of this.
    let mut stream = app.ask(Method::GET, "/v1/events").send().await.unwrap();
    tokio::time::sleep(PATIENCE * 3).await;
    let id = app.echo().await;
    let heard = tokio::time::timeout(PATIENCE * 10, stream.chunk()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&heard.unwrap()).contains(&id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_cookies_keeps_nobody_from_signing_in() {
    let app = App::start().await;
    people::person(&app.store, app.org, "ana@example.com", Role::Owner).await;
    // More look-ups than a second has, for as long as somebody signs in.
    let flood = async {
        for round in 0_u64.. {
            let requests = (round * 300..(round + 1) * 300).map(|number| {
                app.anonymous(Method::GET, "/v1/me")
                    .header("cookie", format!("countersign={number:043}"))
                    .send()
            });
            join_all(requests).await;
        }
    };
    let ana = async {
        let mut ana = Browser::new(&app);
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ana.sign_in("ana@example.com", people::PASSWORD).await.ok();
            ana.get("/v1/me").await.ok();
        }
    };
    tokio::select! {
        () = flood => {}
        () = ana => {}
    }
}
