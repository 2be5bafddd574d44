//! One mail as bytes: headers, text and HTML.

use domain::mail::{Mail, MailAddress, MailFault, Mailbox};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox as LettreMailbox, Message, MultiPart};
use lettre::{Address, message};

/// What goes over the wire for one mail.
pub(super) struct Outgoing {
    pub(super) to: Address,
    pub(super) needs_smtputf8: bool,
    pub(super) bytes: Vec<u8>,
}

/// Checks a mail and puts it together, dated now.
pub(super) fn build(
    mail: &Mail,
    from: &LettreMailbox,
    reply_to: Option<&LettreMailbox>,
) -> Result<Outgoing, MailFault> {
    let refused = |error: &dyn std::fmt::Display| MailFault::Refused(error.to_string());
    let recipient = mail.check().map_err(|error| refused(&error))?;
    let to = address(&recipient).map_err(|error| refused(&error))?;
    let mut builder = Message::builder()
        .from(from.clone())
        .to(LettreMailbox::new(mail.to_name.clone(), to.clone()))
        .subject(mail.subject.clone())
        .message_id(Some(format!("<{}>", mail.message_id)))
        .date_now()
        // RFC 3834: holiday notices and other robots do not answer this.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Content-Language", &mail.language));
    if let Some(reply_to) = reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    let message = builder
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|error| refused(&error))?;
    Ok(Outgoing { to, needs_smtputf8: recipient.needs_smtputf8(), bytes: message.formatted() })
}

/// A sender as lettre wants it.
pub(super) fn mailbox(mailbox: &Mailbox) -> Result<LettreMailbox, lettre::address::AddressError> {
    Ok(message::Mailbox::new(mailbox.name.clone(), address(&mailbox.address)?))
}

fn address(address: &MailAddress) -> Result<Address, lettre::address::AddressError> {
    Address::new(address.local(), address.domain())
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
