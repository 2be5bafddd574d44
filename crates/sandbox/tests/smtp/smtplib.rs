//! Python's own mail client, which knows nothing of ours, talks to the catcher.

use std::time::Duration;

use tokio::process::Command;

use crate::catcher;

const CLIENT: &str = r#"
import smtplib, sys
from email.message import EmailMessage
mail = EmailMessage()
mail["From"] = "Anna <anna@example.com>"
mail["To"] = "Zoë <zoe@example.com>"
mail["Subject"] = "Grüße 🔑 " + "lang " * 30
mail.set_content(".\n..two\nünï\n" + "x" * 2000 + "\n")
mail.add_alternative("<p>ünï</p>", subtype="html")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=10) as server:
    assert server.ehlo()[0] == 250
    assert server.has_extn("smtputf8") and server.has_extn("pipelining")
    assert server.send_message(mail) == {}
    refused = server.sendmail("anna@example.com", ["zoe@example.com", "reject-550@example.com"], "Subject: two\r\n\r\nhi")
    assert list(refused) == ["reject-550@example.com"] and refused["reject-550@example.com"][0] == 550
    server.sendmail("anna@example.com", ["zoë@example.com"], "Subject: three\r\n\r\nhi", mail_options=["SMTPUTF8"])
    assert server.verify("zoe@example.com")[0] == 252
    assert server.noop()[0] == 250
"#;

#[tokio::test]
async fn pythons_client_is_served() {
    let catcher = catcher().await;
    let port = catcher.address().port().to_string();
    let ran = Command::new("python3").args(["-c", CLIENT, &port]).kill_on_drop(true).output().await;
    let Ok(ran) = ran else {
        eprintln!("not checked: python3");
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mails = catcher.mails();
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0].subject.trim_end(), format!("Grüße 🔑 {}", "lang ".repeat(30)).trim_end());
    assert_eq!(mails[0].to_name().as_deref(), Some("Zoë"));
    assert!(mails[0].text.replace("\r\n", "\n").starts_with(".\n..two\nünï\nxxx"), "{}", mails[0].text);
    assert_eq!(mails[0].html.trim_end(), "<p>ünï</p>");
    assert!(catcher.mail_to("zoë@example.com", Duration::ZERO).await.is_some());
}
