//! What arrives, as the catcher decodes it.

use std::time::Duration;

use domain::mail::{Mail, MailFault};
use providers::smtp::{SmtpClient, SmtpConfig};
use sandbox::smtp::CatcherOptions;

use crate::{catcher, catcher_with, client, config, mail};

#[tokio::test]
async fn a_mail_arrives_with_its_headers_and_both_bodies() {
    let catcher = catcher().await;
    let mut config = config(&catcher.url());
    config.reply_to = Some(domain::mail::Mailbox::parse("Help <help@countersign.example>").unwrap());
    let client = SmtpClient::new(config).unwrap();
    let receipt = client.send(&mail("zoe@example.com")).await.unwrap();
    assert_eq!(receipt.answer, "250 2.0.0 caught as 1");

    let caught = catcher.mail_to("zoe@example.com", Duration::from_secs(5)).await.unwrap();
    assert_eq!((caught.from.as_str(), caught.to.len()), ("no-reply@countersign.example", 1));
    assert_eq!(caught.subject, "Set a new password");
    assert_eq!(caught.to_name().as_deref(), Some("Zoë Müller"));
    assert!(caught.text.contains("https://countersign.example/reset#abc"), "{}", caught.text);
    assert!(caught.html.contains("<a href=\"https://countersign.example/reset#abc\">"), "{}", caught.html);
    for (name, value) in [
        ("Message-ID", "<0197c1.reset.1@countersign.example>"),
        ("Auto-Submitted", "auto-generated"),
        ("Content-Language", "en"),
        ("MIME-Version", "1.0"),
        ("From", "Countersign <no-reply@countersign.example>"),
        ("Reply-To", "Help <help@countersign.example>"),
    ] {
        assert_eq!(caught.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(caught.header("Content-Type").unwrap().starts_with("multipart/alternative"));
    let date = chrono::DateTime::parse_from_rfc2822(&caught.header("Date").unwrap()).unwrap();
    assert!((chrono::Utc::now() - date.to_utc()).num_seconds().abs() < 60, "{date}");
    assert!(caught.raw.is_ascii(), "no mail server needs 8BITMIME for it");
}

#[tokio::test]
async fn every_script_dots_and_long_lines_survive() {
    let catcher = catcher().await;
    let sent = Mail {
        to_name: Some("Łukasz \"Ł\" 山田, Jr. <x@y> 👩‍💻".to_owned()),
        subject: format!("パスワード 🔑 {}", "Größenänderung ".repeat(18)).trim().to_owned(),
        text: format!(".\n..\n.QUIT\nلغة\n{}\n{}\n", "x".repeat(5000), "é".repeat(3000)),
        html: format!("<p>नमस्ते</p>\r\n.\r\n<p>{}</p>", "<b>y</b>".repeat(2000)),
        language: "pt-BR".to_owned(),
        ..mail("info@bücher.example")
    };
    client(&catcher.url()).send(&sent).await.unwrap();
    let caught = catcher.mail_to("info@xn--bcher-kva.example", Duration::from_secs(5)).await.unwrap();
    assert_eq!(caught.subject, sent.subject);
    assert_eq!(caught.to_name(), sent.to_name);
    assert_eq!(caught.text.replace("\r\n", "\n"), sent.text);
    assert_eq!(caught.html.replace("\r\n", "\n"), sent.html.replace("\r\n", "\n"));
    assert!(caught.raw.is_ascii());
}

#[tokio::test]
async fn a_repeat_carries_the_same_message_id() {
    let catcher = catcher().await;
    let client = client(&catcher.url());
    for _ in 0..2 {
        client.send(&mail("zoe@example.com")).await.unwrap();
    }
    let ids: Vec<_> = catcher.mails().iter().map(|mail| mail.header("message-id").unwrap()).collect();
    assert_eq!(ids, ["<0197c1.reset.1@countersign.example>"; 2]);
}

#[tokio::test]
async fn nothing_rides_along_in_an_address_a_name_or_a_subject() {
    let catcher = catcher().await;
    let client = client(&catcher.url());
    let injected: [fn(&mut Mail); 7] = [
        |mail| mail.to = "a@example.com\r\nRCPT TO:<evil@example.com>".to_owned(),
        |mail| mail.to = "a@example.com, evil@example.com".to_owned(),
        |mail| mail.to = "a@example.com> NOTIFY=NEVER <b@example.com".to_owned(),
        |mail| mail.to_name = Some("A\r\nBcc: evil@example.com".to_owned()),
        |mail| mail.subject = "Hello\nBcc: evil@example.com".to_owned(),
        |mail| mail.message_id = "a@b>\r\nBcc: <evil@example.com".to_owned(),
        |mail| mail.language = "en\r\nBcc: evil@example.com".to_owned(),
    ];
    for inject in injected {
        let mut mail = mail("a@example.com");
        inject(&mut mail);
        let fault = client.send(&mail).await.unwrap_err();
        assert!(matches!(fault, MailFault::Refused(_)), "{fault:?}");
        assert!(!fault.to_string().contains("evil"), "{fault}");
    }
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn letters_beyond_ascii_in_an_address_need_a_server_that_takes_them() {
    let new = catcher().await;
    client(&new.url()).send(&mail("用户@例え.jp")).await.unwrap();
    assert!(new.mail_to("用户@xn--r8jz45g.jp", Duration::from_secs(5)).await.is_some());

    let old = catcher_with(CatcherOptions { smtputf8: false, ..CatcherOptions::default() }).await;
    let client = client(&old.url());
    let fault = client.send(&mail("用户@例え.jp")).await.unwrap_err();
    assert!(matches!(&fault, MailFault::Refused(why) if why.contains("SMTPUTF8")), "{fault:?}");
    client.send(&mail("zoe@例え.jp")).await.unwrap();
    assert_eq!(old.mails().len(), 1);
}

#[tokio::test]
async fn one_connection_serves_mail_after_mail_and_many_at_once_stay_within_the_limit() {
    let catcher = catcher_with(CatcherOptions { connections: 1, ..CatcherOptions::default() }).await;
    let client = client(&catcher.url());
    for n in 0..20 {
        client.send(&mail(&format!("zoe+{n}@example.com"))).await.unwrap();
    }
    assert_eq!(catcher.mails().len(), 20);

    let catcher = catcher_with(CatcherOptions { connections: 8, ..CatcherOptions::default() }).await;
    let client = self::client(&catcher.url());
    let sends = (0..100).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.send(&mail(&format!("zoe+{n}@example.com"))).await })
    });
    for send in futures::future::join_all(sends).await {
        send.unwrap().unwrap();
    }
    assert_eq!(catcher.mails().len(), 100);
}

#[test]
fn a_sender_that_servers_would_not_take_is_refused_at_start() {
    for from in ["zoë@example.com", "Countersign <zoë@example.com>"] {
        let error = SmtpClient::new(SmtpConfig::new("smtp://127.0.0.1", from).unwrap()).unwrap_err();
        assert!(error.to_string().contains("COUNTERSIGN_MAIL_FROM"), "{error}");
    }
}
