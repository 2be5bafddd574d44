//! What each way of failing becomes, and that none of them spoils the next mail.

use std::time::{Duration, Instant};

use domain::mail::MailFault;
use sandbox::smtp::CatcherOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::{LOOPBACK, catcher, catcher_with, client, fault, hurried, mail};

#[tokio::test]
async fn a_servers_no_is_for_good_or_for_now() {
    let catcher = catcher().await;
    let client = client(&catcher.url());
    for (to, says) in [
        ("reject-550@example.com", "refused the recipient: 550 5.1.1 nobody here"),
        ("reject-552@example.com", "refused the recipient: 552"),
        ("data-554@example.com", "refused the mail: 554 5.6.0 not this mail"),
    ] {
        let fault = fault(&client, to).await;
        assert!(matches!(&fault, MailFault::Refused(message) if message.contains(says)), "{to}: {fault:?}");
    }
    for (to, expected) in [
        ("defer-450@example.com", "deferred"),
        ("defer-451@example.com", "deferred"),
        ("data-452@example.com", "deferred"),
        ("defer-421@example.com", "service"),
    ] {
        let fault = fault(&client, to).await;
        let MailFault::Unreachable { code, message, retry_after } = &fault else { panic!("{to}: {fault:?}") };
        assert_eq!(*code, expected, "{to}");
        assert!(message.contains("refused the"), "{message}");
        assert_eq!(retry_after.is_some(), *code == "deferred", "{to}");
    }
    client.send(&mail("zoe@example.com")).await.unwrap();
    assert_eq!(catcher.mails().len(), 1);
}

#[tokio::test]
async fn silence_and_broken_connections_say_whether_the_mail_may_have_arrived() {
    let catcher = catcher().await;
    for (to, code, arrived) in [
        ("drop@example.com", "broken", false),
        ("drop-after-data@example.com", "unanswered", true),
        ("hang@example.com", "timeout", false),
        ("hang-after-data@example.com", "unanswered", true),
    ] {
        let started = Instant::now();
        let fault = fault(&hurried(&catcher.url()), to).await;
        assert_eq!(fault.code(), code, "{to}: {fault:?}");
        assert_eq!(fault.to_string().contains("may have been taken"), arrived, "{fault}");
        assert_eq!(catcher.mails().iter().any(|mail| mail.is_to(to)), arrived, "{to}");
        assert!(started.elapsed() < Duration::from_secs(6));
    }
}

/// The late answer to a mail that was given up must not be taken for the answer to the next one.
#[tokio::test]
async fn a_conversation_given_up_half_way_is_not_used_again() {
    let catcher = catcher().await;
    let client = hurried(&catcher.url());
    client.send(&mail("zoe@example.com")).await.unwrap();
    assert_eq!(fault(&client, "slow-1500@example.com").await.code(), "timeout");
    for n in 0..5 {
        let fault = fault(&client, "reject-550@example.com").await;
        assert!(matches!(fault, MailFault::Refused(_)), "{n}: {fault:?}");
        client.send(&mail(&format!("zoe+{n}@example.com"))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(catcher.mails().len(), 6, "and the one given up never arrived");
}

/// As a man in the middle would do it, by a line slipped in before TLS begins.
#[tokio::test]
async fn an_answer_too_many_does_not_make_a_receipt() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mail.example\r\n").await.unwrap();
        let (mut line, mut lines) = (String::new(), Vec::new());
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            let answer = match line.split(' ').next().unwrap().trim() {
                "EHLO" => "250 mail.example\r\n250 slipped in\r\n",
                "DATA" => "354 go ahead\r\n",
                _ => "250 ok\r\n",
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            lines.push(std::mem::take(&mut line));
        }
        lines
    });
    let fault = fault(&client(&format!("smtp://{address}")), "zoe@example.com").await;
    assert!(fault.code() == "broken" && fault.to_string().contains("out of step"), "{fault:?}");
    let lines = server.await.unwrap();
    assert!(!lines.iter().any(|line| line.contains("Subject")), "nothing was sent: {lines:?}");
}

#[tokio::test]
async fn a_server_that_left_meanwhile_is_reached_anew() {
    let options = CatcherOptions { idle: Duration::from_millis(100), ..CatcherOptions::default() };
    let catcher = catcher_with(options).await;
    let client = client(&catcher.url());
    for _ in 0..3 {
        client.send(&mail("zoe@example.com")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(catcher.mails().len(), 3);
}

#[tokio::test]
async fn no_server_a_full_one_and_one_that_is_none() {
    let free = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let nobody = client(&format!("smtp://{free}"));
    assert_eq!(fault(&nobody, "zoe@example.com").await.code(), "connect");
    let nowhere = client("smtp://nowhere.invalid");
    assert_eq!(fault(&nowhere, "zoe@example.com").await.code(), "connect");

    let full = catcher_with(CatcherOptions { connections: 0, ..CatcherOptions::default() }).await;
    let fault = fault(&client(&full.url()), "zoe@example.com").await;
    assert_eq!(fault.code(), "service", "{fault:?}");
    assert!(fault.to_string().contains("421 4.3.2 too many connections"), "{fault}");

    for (greeting, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "broken"),
        ("554 5.7.1 go away\r\n", "service"),
        ("", "timeout"),
    ] {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let fault = self::fault(&hurried(&format!("smtp://{address}")), "zoe@example.com").await;
        assert_eq!(fault.code(), expected, "{greeting:?}: {fault:?}");
        server.abort();
    }
}
