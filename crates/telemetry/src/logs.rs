//! Structured logs on standard error, so that standard output stays the command's own.
//!
//! Nothing is redacted here: secrets are `SecretString` in the types that carry them and never
//! become log fields. Environment variables and request bodies are not logged.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::{EnvFilter, fmt as log_format, util::SubscriberInitExt};

use crate::Error;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people: one line, coloured on a terminal.
    #[default]
    Text,
    /// For machines: one JSON object a line, the event's fields at its top level, the spans it
    /// happened in beside them.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim().to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Error::LogFormat(text.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

static STARTED: Mutex<bool> = Mutex::new(false);

/// Starts the logs of this process, once; later calls change nothing and succeed.
///
/// `RUST_LOG` wins over `default_filter` when it is set and not blank.
///
/// # Errors
/// When the filter is not valid or another subscriber is installed already.
pub fn init_logs(format: LogFormat, default_filter: &str) -> Result<(), Error> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *started {
        return Ok(());
    }
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref(), default_filter)?;
    let lines = log_format()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A reader that went away must not take the process along: the report of a line that can't be
        // written goes to the same place, and panics there.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|_| Error::SubscriberTaken)?;
    *started = true;
    Ok(())
}

fn filter(from_env: Option<&str>, default_filter: &str) -> Result<EnvFilter, Error> {
    let text = from_env.filter(|text| !text.trim().is_empty()).unwrap_or(default_filter);
    EnvFilter::builder().parse(text).map_err(|source| Error::Filter { filter: text.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_unless_blank() {
        let shown = |env, default| filter(env, default).unwrap().to_string();
        assert_eq!(shown(Some("debug"), "info"), "debug");
        assert_eq!(shown(Some("  "), "info"), "info");
        assert_eq!(shown(None, "warn"), "warn");
    }

    #[test]
    fn a_wrong_filter_says_what_to_set() {
        let error = filter(Some("queue=loud"), "info").unwrap_err();
        assert!(error.to_string().contains("set RUST_LOG"), "{error}");
    }

    #[test]
    fn formats_are_read_and_shown() {
        assert_eq!("JSON".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert_eq!(LogFormat::Text.to_string(), "text");
        assert!("xml".parse::<LogFormat>().is_err());
    }

    #[test]
    fn starting_twice_is_fine() {
        init_logs(LogFormat::Json, "info").unwrap();
        init_logs(LogFormat::Text, "info").unwrap();
    }
}
