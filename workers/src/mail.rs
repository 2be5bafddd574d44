//! The mail client behind the port that jobs see.

use domain::mail::{Mail, MailFault, MailReceipt, Mailer};
use domain::ports::PortFuture;
use providers::smtp::SmtpClient;

/// The mail client as jobs see it. Without one every mail fails by name, so a deployment without a mail
/// server still starts, and says what it lacks when somebody is to be written to.
pub struct MailPort {
    client: Option<SmtpClient>,
}

impl MailPort {
    /// Wraps the process' one client; `None` when no mail server is configured.
    #[must_use]
    pub fn new(client: Option<SmtpClient>) -> Self {
        Self { client }
    }
}

impl Mailer for MailPort {
    fn send<'a>(&'a self, mail: &'a Mail) -> PortFuture<'a, Result<MailReceipt, MailFault>> {
        Box::pin(async move {
            match &self.client {
                Some(client) => client.send(mail).await,
                None => Err(MailFault::NotConfigured),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_server_every_mail_says_what_to_set() {
        let mail = Mail {
            message_id: "1@countersign.example".to_owned(),
            to: "anna@example.com".to_owned(),
            to_name: None,
            subject: "Hello".to_owned(),
            text: "Hello".to_owned(),
            html: "<p>Hello</p>".to_owned(),
            language: "en".to_owned(),
        };
        let fault = MailPort::new(None).send(&mail).await.unwrap_err();
        assert_eq!(fault, MailFault::NotConfigured);
        assert!(fault.to_string().contains("COUNTERSIGN_SMTP_URL"), "{fault}");
    }
}
