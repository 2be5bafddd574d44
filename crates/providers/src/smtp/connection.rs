//! One conversation with the mail server.

use std::time::Duration;

use domain::mail::{MailFault, MailReceipt};
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials as Login, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::config::{SmtpConfig, SmtpConfigError, TlsUse};
use super::fault::{Step, answer, fault, lacks_smtputf8, out_of_step};
use super::message::Outgoing;

/// How long a server may take to answer QUIT or NOOP.
const POLITENESS: Duration = Duration::from_secs(2);

/// An open connection, logged in.
pub(super) struct Connection {
    inner: AsyncSmtpConnection,
}

/// TLS settings, read once: the system's certificates are a few hundred files.
pub(super) fn tls_parameters(config: &SmtpConfig) -> Result<Option<TlsParameters>, SmtpConfigError> {
    if config.tls == TlsUse::Never {
        return Ok(None);
    }
    let mut builder = TlsParameters::builder(config.host.clone());
    if !config.extra_roots_pem.is_empty() {
        let marker = b"-----BEGIN CERTIFICATE-----";
        if !config.extra_roots_pem.windows(marker.len()).any(|window| window == marker) {
            return Err(SmtpConfigError::NoRoots);
        }
        let roots = Certificate::from_pem(&config.extra_roots_pem).map_err(SmtpConfigError::Roots)?;
        builder = builder.add_root_certificate(roots);
    }
    builder.build_rustls().map(Some).map_err(SmtpConfigError::Roots)
}

impl Connection {
    /// Connects, encrypts and logs in as configured. No time limit of its own.
    pub(super) async fn open(
        config: &SmtpConfig,
        tls: Option<&TlsParameters>,
        step: &mut Step,
    ) -> Result<Self, MailFault> {
        let hello = ClientId::Domain(config.hello_name.clone());
        let server = (config.host.as_str(), config.port);
        *step = Step::Connect;
        let wrapped = tls.filter(|_| config.tls == TlsUse::Wrapped).cloned();
        let mut inner = AsyncSmtpConnection::connect_tokio1(server, None, &hello, wrapped, None)
            .await
            .map_err(|error| logged(&error, *step))?;
        let upgrade = match config.tls {
            TlsUse::Required => true,
            TlsUse::Opportunistic => inner.can_starttls(),
            TlsUse::Wrapped | TlsUse::Never => false,
        };
        if let Some(tls) = tls.filter(|_| upgrade) {
            *step = Step::StartTls;
            if !inner.can_starttls() {
                return Err(MailFault::Unreachable {
                    code: "tls",
                    message: "the mail server offers no STARTTLS, and COUNTERSIGN_SMTP_URL requires it"
                        .to_owned(),
                    retry_after: None,
                });
            }
            inner.starttls(tls.clone(), &hello).await.map_err(|error| logged(&error, *step))?;
        }
        if let Some(login) = &config.credentials {
            *step = Step::Auth;
            let login =
                Login::new(login.user.expose_secret().to_owned(), login.password.expose_secret().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let answer = inner.auth(&mechanisms, &login).await.map_err(|error| logged(&error, *step))?;
            in_step(&answer, 235)?;
        }
        Ok(Self { inner })
    }

    /// Puts one mail before the server. After an error the conversation is in no known state: close it.
    pub(super) async fn send(
        &mut self,
        from: &Address,
        mail: &Outgoing,
        step: &mut Step,
    ) -> Result<MailReceipt, MailFault> {
        let mut parameters = Vec::new();
        *step = Step::Mail;
        if mail.needs_smtputf8 {
            if !self.inner.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(lacks_smtputf8());
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let sender = self.inner.command(Mail::new(Some(from.clone()), parameters)).await;
        sender.map_err(|error| logged(&error, *step))?;
        *step = Step::Rcpt;
        let recipient = self.inner.command(Rcpt::new(mail.to.clone(), Vec::new())).await;
        recipient.map_err(|error| logged(&error, *step))?;
        *step = Step::Data;
        let go_ahead = self.inner.command(Data).await.map_err(|error| logged(&error, *step))?;
        in_step(&go_ahead, 354)?;
        *step = Step::Text;
        let response = self.inner.message(&mail.bytes).await.map_err(|error| logged(&error, *step))?;
        in_step(&response, 250)?;
        Ok(receipt(&response))
    }

    /// Whether the server still answers.
    pub(super) async fn is_alive(&mut self) -> bool {
        timeout(POLITENESS, self.inner.test_connected()).await.unwrap_or(false)
    }

    /// Says goodbye, but does not insist.
    pub(super) async fn close(mut self) {
        let _ = timeout(POLITENESS, self.inner.abort()).await;
    }
}

/// One answer too many, slipped in before TLS began or sent by a confused server, would shift all that
/// follow, and a mail nobody took would look taken. So where only one code can be right, it must be that.
fn in_step(response: &Response, code: u16) -> Result<(), MailFault> {
    if response.has_code(code) { Ok(()) } else { Err(out_of_step()) }
}

fn receipt(response: &Response) -> MailReceipt {
    let text: Vec<&str> = response.message().collect();
    MailReceipt { answer: answer(&response.code().to_string(), Some(&text.join(" "))) }
}

/// The chain below a fault is for the operator's log.
fn logged(error: &Error, step: Step) -> MailFault {
    let fault = fault(error, step);
    tracing::debug!(code = fault.code(), ?step, %error, "a mail did not leave");
    fault
}
