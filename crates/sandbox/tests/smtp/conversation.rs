//! Commands, their order, and the limits.

use std::time::Duration;

use sandbox::smtp::{CatcherError, CatcherOptions, MailCatcher};

use crate::{Hand, LOOPBACK, catcher, catcher_with};

#[tokio::test]
async fn a_mail_is_kept_as_it_was_sent_without_the_doubled_dots() {
    let catcher = catcher().await;
    let mut news = catcher.subscribe();
    let mut hand = Hand::reach(&catcher).await;
    assert_eq!(hand.code().await, 220);
    hand.send("EHLO client.example\r\n").await;
    let (code, lines) = hand.answer().await;
    assert_eq!(code, 250);
    for extension in ["SIZE 10485760", "8BITMIME", "PIPELINING", "SMTPUTF8"] {
        assert!(lines.iter().any(|line| line == extension), "{lines:?}");
    }
    assert_eq!(hand.ask("MAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME").await, 250);
    assert_eq!(hand.ask("RCPT TO:<b@example.com>").await, 250);
    assert_eq!(hand.ask("RCPT TO:<c@example.com>").await, 250);
    assert_eq!(hand.ask("DATA").await, 354);
    hand.send("Subject: dots\r\n\r\n..\r\n..one\r\nt.w.o\r\n.\r\n").await;
    assert_eq!(hand.code().await, 250);
    assert_eq!(hand.ask("QUIT").await, 221);
    assert_eq!(hand.code().await, 0);

    let mail = news.recv().await.unwrap();
    assert_eq!(mail.raw, b"Subject: dots\r\n\r\n.\r\n.one\r\nt.w.o\r\n");
    assert_eq!((mail.from.as_str(), mail.subject.as_str()), ("a@example.com", "dots"));
    assert_eq!(mail.to, ["b@example.com", "c@example.com"]);
    assert_eq!(mail.text, ".\r\n.one\r\nt.w.o\r\n");
    assert_eq!(catcher.mails().len(), 1);
    assert!(catcher.mail_to("C@example.com", Duration::ZERO).await.is_some());
    assert!(catcher.mail_to("d@example.com", Duration::from_millis(20)).await.is_none());
}

#[tokio::test]
async fn a_whole_conversation_may_come_in_one_piece() {
    let catcher = catcher().await;
    let mut hand = Hand::reach(&catcher).await;
    let mail = "MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
    hand.send(format!("EHLO c.example\r\n{mail}{mail}NOOP\r\nQUIT\r\n")).await;
    let mut codes = Vec::new();
    loop {
        match hand.code().await {
            0 => break,
            code => codes.push(code),
        }
    }
    assert_eq!(codes, [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 250, 221]);
    assert_eq!(catcher.mails().len(), 2);
}

#[tokio::test]
async fn commands_out_of_order_are_told_so() {
    let catcher = catcher().await;
    let mut hand = Hand::reach(&catcher).await;
    assert_eq!(hand.code().await, 220);
    assert_eq!(hand.ask("MAIL FROM:<a@example.com>").await, 503);
    assert_eq!(hand.ask("HELO client.example").await, 250);
    assert_eq!(hand.ask("RCPT TO:<b@example.com>").await, 503);
    assert_eq!(hand.ask("DATA").await, 503);
    assert_eq!(hand.envelope("b@example.com").await, 250);
    assert_eq!(hand.ask("MAIL FROM:<a@example.com>").await, 503);
    assert_eq!(hand.ask("RSET").await, 250);
    assert_eq!(hand.ask("DATA").await, 503);
    assert_eq!(hand.envelope("b@example.com").await, 250);
    assert_eq!(hand.ask("EHLO client.example").await, 250);
    assert_eq!(hand.ask("DATA").await, 503, "EHLO begins anew");
    assert_eq!(hand.ask("VRFY b@example.com").await, 252);
    assert_eq!(hand.ask("NOOP").await, 250);
    assert_eq!(hand.ask("STARTTLS").await, 502);
    assert_eq!(hand.ask("FROBNICATE").await, 500);
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn line_ends_are_crlf_so_nothing_can_be_smuggled() {
    let catcher = catcher().await;
    let mut hand = Hand::ready(&catcher).await;
    hand.send("NOOP\n").await;
    assert_eq!(hand.code().await, 500);
    for end in ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r\n"] {
        let bytes = format!("Subject: x\r\n\r\nx{end}MAIL FROM:<evil@example.com>\r\n.\r\n");
        assert_eq!(hand.mail("b@example.com", bytes).await, 554, "{end:?}");
    }
    assert_eq!(hand.ask("NOOP").await, 250, "the conversation is still in step");
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn lines_mails_and_mistakes_have_limits() {
    let catcher = catcher_with(CatcherOptions { mail_bytes: 5000, ..CatcherOptions::default() }).await;
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.ask(&format!("NOOP {}", "x".repeat(1100))).await, 500);
    assert_eq!(hand.ask("MAIL FROM:<a@example.com> SIZE=5001").await, 552);
    assert_eq!(hand.mail("b@example.com", format!("{}\r\n.\r\n", "x".repeat(999))).await, 554);
    assert_eq!(hand.mail("b@example.com", format!("{}\r\n.\r\n", "x".repeat(998))).await, 250);
    let lines = format!("{}\r\n", "x".repeat(98)).repeat(51);
    assert_eq!(hand.mail("b@example.com", format!("{lines}.\r\n")).await, 552);
    assert_eq!(hand.ask("NOOP").await, 250);
    assert_eq!(hand.envelope("b@example.com").await, 250);
    assert_eq!(hand.ask("DATA").await, 354);
    hand.send(lines.repeat(5)).await;
    assert_eq!(hand.code().await, 552, "nobody is listened to for ever");
    assert_eq!(hand.code().await, 0);
    assert_eq!(catcher.mails().len(), 1);

    let mut hand = Hand::ready(&catcher).await;
    for _ in 0..20 {
        assert_eq!(hand.ask("FROBNICATE").await, 500);
    }
    assert_eq!(hand.ask("FROBNICATE").await, 421);
    assert_eq!(hand.code().await, 0);

    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.envelope("b0@example.com").await, 250);
    for n in 1..100 {
        assert_eq!(hand.ask(&format!("RCPT TO:<b{n}@example.com>")).await, 250);
    }
    assert_eq!(hand.ask("RCPT TO:<b100@example.com>").await, 452);
}

#[tokio::test]
async fn connections_and_silence_have_limits() {
    let options =
        CatcherOptions { connections: 1, idle: Duration::from_millis(200), ..CatcherOptions::default() };
    let catcher = catcher_with(options).await;
    let mut first = Hand::ready(&catcher).await;
    assert_eq!(Hand::reach(&catcher).await.code().await, 421);
    assert_eq!(first.code().await, 421);
    assert_eq!(first.code().await, 0);
    let mut in_the_text = Hand::ready(&catcher).await;
    assert_eq!(in_the_text.envelope("b@example.com").await, 250);
    assert_eq!(in_the_text.ask("DATA").await, 354);
    in_the_text.send("Subject: half\r\n").await;
    assert_eq!(in_the_text.code().await, 421);
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn letters_beyond_ascii_need_smtputf8() {
    let catcher = catcher().await;
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.ask("MAIL FROM:<a@example.com>").await, 250);
    assert_eq!(hand.ask("RCPT TO:<zoë@example.com>").await, 553);
    assert_eq!(hand.ask("RSET").await, 250);
    assert_eq!(hand.ask("MAIL FROM:<a@example.com> SMTPUTF8").await, 250);
    assert_eq!(hand.ask("RCPT TO:<zoë@example.com>").await, 250);

    let old = catcher_with(CatcherOptions { smtputf8: false, ..CatcherOptions::default() }).await;
    let mut hand = Hand::ready(&old).await;
    assert_eq!(hand.ask("MAIL FROM:<a@example.com> SMTPUTF8").await, 555);
}

#[tokio::test]
async fn only_loopback_is_listened_on_and_dropping_ends_it() {
    let error = MailCatcher::start("0.0.0.0:0".parse().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, CatcherError::NotLoopback(_)), "{error}");
    let catcher = catcher().await;
    let error = MailCatcher::start(catcher.address(), None).await.unwrap_err();
    assert!(matches!(error, CatcherError::Listen { .. }), "{error}");
    let mut hand = Hand::ready(&catcher).await;
    let address = catcher.address();
    drop(catcher);
    assert_eq!(hand.code().await, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    MailCatcher::start(LOOPBACK, None).await.unwrap();
}
