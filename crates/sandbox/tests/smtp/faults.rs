//! Recipients that make the catcher misbehave.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::{Hand, catcher};

const MAIL: &str = "Subject: x\r\n\r\nx\r\n.\r\n";

#[tokio::test]
async fn refusals_are_per_recipient_and_leave_the_conversation_in_step() {
    let catcher = catcher().await;
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.envelope("reject-552@example.com").await, 552);
    assert_eq!(hand.ask("RCPT TO:<defer-451@example.com>").await, 451);
    assert_eq!(hand.ask("RCPT TO:<data-554@example.com>").await, 250);
    assert_eq!(hand.ask("DATA").await, 354);
    hand.send(MAIL).await;
    assert_eq!(hand.code().await, 554);
    assert!(catcher.mails().is_empty());
    assert_eq!(hand.mail("b@example.com", MAIL).await, 250);
    assert_eq!(catcher.mails().len(), 1);
    assert_eq!(hand.envelope("defer-421@example.com").await, 421);
    assert_eq!(hand.code().await, 0);
}

#[tokio::test]
async fn drops_end_the_connection_and_hangs_say_nothing() {
    let catcher = catcher().await;
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.envelope("drop@example.com").await, 0);
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.mail("drop-after-data@example.com", MAIL).await, 0);
    assert_eq!(catcher.mails().len(), 1, "it was taken all the same");

    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.ask("MAIL FROM:<a@example.com>").await, 250);
    hand.send("RCPT TO:<hang@example.com>\r\nNOOP\r\n").await;
    assert!(timeout(Duration::from_millis(200), hand.code()).await.is_err());
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.envelope("hang-after-data@example.com").await, 250);
    assert_eq!(hand.ask("DATA").await, 354);
    hand.send(MAIL).await;
    assert!(timeout(Duration::from_millis(200), hand.code()).await.is_err());
    assert_eq!(catcher.mails().len(), 2);
}

#[tokio::test]
async fn slow_answers_take_their_time() {
    let catcher = catcher().await;
    let mut hand = Hand::ready(&catcher).await;
    let started = Instant::now();
    assert_eq!(hand.mail("slow-100@example.com", MAIL).await, 250);
    assert!(started.elapsed() >= Duration::from_millis(200));
}
