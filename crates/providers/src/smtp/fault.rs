//! What lettre and the network report, as the domain's faults.
//!
//! Messages may hold what the mail server said, cut short, and nothing of the configuration but its names.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use domain::mail::MailFault;
use lettre::transport::smtp::Error;

/// Longest part of a server's answer that is repeated, in characters.
const MAX_ANSWER_CHARS: usize = 300;

/// A server that says "not now" about one mail means minutes; greylisting often exactly one.
const LEAST_WAIT: Duration = Duration::from_secs(60);

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Waiting for one of this client's own connections.
    Queue,
    /// Connection, TLS, greeting, EHLO.
    Connect,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The text is on its way: from here on the mail may have arrived.
    Text,
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Self::Queue | Self::Connect => "the connection",
            Self::StartTls => "STARTTLS",
            Self::Auth => "the login",
            Self::Mail => "the sender",
            Self::Rcpt => "the recipient",
            Self::Data | Self::Text => "the mail",
        }
    }
}

/// Sorts an error of one step.
pub(super) fn fault(error: &Error, step: Step) -> MailFault {
    if let Some(code) = error.status() {
        let answer = answer(&code.to_string(), error.source().map(ToString::to_string).as_deref());
        return refusal(&code.to_string(), &answer, error.is_permanent(), step);
    }
    if find::<rustls::Error>(error) || error.is_tls() || step == Step::StartTls {
        return unreachable(
            "tls",
            "the mail server's TLS was refused; check its certificate, chain and host name",
        );
    }
    match step {
        Step::Text => unreachable(
            "unanswered",
            "the connection ended before the mail server confirmed the mail; it may have been taken",
        ),
        Step::Auth if error.is_client() => {
            unreachable("auth", "the mail server offers no login that can be used here (PLAIN or LOGIN)")
        }
        Step::Queue | Step::Connect if !error.is_response() => unreachable(
            "connect",
            "no connection to the mail server; check host and port in COUNTERSIGN_SMTP_URL and that it is up",
        ),
        _ => unreachable(
            "broken",
            format!("the mail server broke off or did not speak SMTP at {}", step.what()),
        ),
    }
}

/// Time ran out.
pub(super) fn timed_out(step: Step, after: Duration) -> MailFault {
    let ms = after.as_millis();
    match step {
        Step::Queue => {
            unreachable("busy", format!("no connection to the mail server was free within {ms} ms"))
        }
        Step::Text => unreachable(
            "unanswered",
            format!("the mail server did not confirm the mail within {ms} ms; it may have been taken"),
        ),
        _ => unreachable("timeout", format!("the mail server did not answer {} within {ms} ms", step.what())),
    }
}

/// Answers that do not fit what was asked.
pub(super) fn out_of_step() -> MailFault {
    unreachable("broken", "the mail server's answers are out of step with what it was asked")
}

/// A server without what a mail needs.
pub(super) fn lacks_smtputf8() -> MailFault {
    MailFault::Refused(
        "the address has letters beyond ASCII before its @, and the mail server does not take such addresses (SMTPUTF8)"
            .to_owned(),
    )
}

/// Code and text as one line, fit for a log and a screen.
pub(super) fn answer(code: &str, text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ANSWER_CHARS).collect();
    format!("{code} {}", text.trim()).trim_end().to_owned()
}

fn refusal(code: &str, answer: &str, permanent: bool, step: Step) -> MailFault {
    let what = step.what();
    let message = format!("the mail server refused {what}: {answer}");
    match (step, code) {
        // Whatever it says there is about us, and somebody can put it right.
        (Step::Auth, _) | (Step::Mail, "530" | "535") if permanent => unreachable(
            "auth",
            format!(
                "the mail server refused the login; check user and password in COUNTERSIGN_SMTP_URL: {answer}"
            ),
        ),
        (Step::Queue | Step::Connect, _) | (_, "421") => unreachable("service", message),
        (Step::StartTls, _) => unreachable("tls", message),
        _ if permanent => MailFault::Refused(message),
        _ => MailFault::Unreachable { code: "deferred", message, retry_after: Some(LEAST_WAIT) },
    }
}

fn unreachable(code: &'static str, message: impl Into<String>) -> MailFault {
    MailFault::Unreachable { code, message: message.into(), retry_after: None }
}

/// Looks for a cause of one type anywhere in a chain.
fn find<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        // An io::Error leaves out of its chain the very error it wraps.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    false
}
