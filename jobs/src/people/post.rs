//! From a letter to the mail server, and what its answer means.

use domain::JobError;
use domain::mail::{Mail, MailFault};
use secrecy::{ExposeSecret, SecretString};
use store::StoreError;
use url::Url;

use super::letter::{Letter, LetterError};
use crate::Ctx;

/// A page of ours with a token behind the `#`, which browsers send to no server.
pub(super) fn link(ctx: &Ctx, page: &str, token: &SecretString) -> Result<Url, JobError> {
    let mut link = ctx.ports.public_url.join(page).map_err(|_| {
        JobError::fail("public_url_unusable", "COUNTERSIGN_PUBLIC_URL can't have pages below it; correct it")
    })?;
    link.set_fragment(Some(&format!("token={}", token.expose_secret())));
    Ok(link)
}

/// Hands a letter to the mail server.
pub(super) async fn send(
    ctx: &Ctx,
    to: &str,
    to_name: Option<&str>,
    letter: Result<Letter, LetterError>,
) -> Result<(), JobError> {
    let letter = letter.map_err(|error| JobError::fail("mail_unwritable", error))?;
    let mut mail = Mail {
        message_id: message_id(ctx),
        to: to.to_owned(),
        to_name: to_name.map(str::to_owned),
        subject: letter.subject,
        text: letter.text,
        html: letter.html,
        language: letter.language,
    };
    // A name that no header takes is no reason to send nothing.
    if mail.check().is_err() {
        mail.to_name = None;
    }
    ctx.ports.mailer.send(&mail).await.map(drop).map_err(|fault| match fault {
        MailFault::Refused(why) => JobError::fail("mail_refused", why),
        MailFault::NotConfigured => JobError::fail("mail_not_configured", MailFault::NotConfigured),
        MailFault::Unreachable { code, message, retry_after: None } => {
            JobError::retry(format!("mail_{code}"), message)
        }
        MailFault::Unreachable { code, message, retry_after: Some(after) } => {
            JobError::retry_after(format!("mail_{code}"), message, after)
        }
    })
}

/// Says which job and which claim of it. Each attempt carries another link, so it is another message: a mailbox
/// that drops repeats would otherwise keep the one whose link has ended.
fn message_id(ctx: &Ctx) -> String {
    let host = ctx.ports.public_url.domain().unwrap_or("countersign.localhost");
    format!("{}.{}@{host}", ctx.job.job_id, ctx.job.claim_no)
}

/// What a job does when the database refuses something. Never permanent: what is asked for stands there.
pub(super) fn store_fault(error: StoreError) -> JobError {
    match error {
        StoreError::Away(_) => JobError::retry("database_away", "PostgreSQL is not available"),
        other => JobError::retry("database_refused", other),
    }
}
