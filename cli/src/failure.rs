//! How a failed command ends: one sentence, its causes, an exit code.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// A command line that parses but makes no sense; ends with exit code 2, as clap's own errors do.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error that says what to write instead.
pub(crate) fn usage(sentence: impl Into<String>) -> anyhow::Error {
    Usage(sentence.into()).into()
}

/// Ends a command that has only shown what it would do.
pub(crate) fn unconfirmed() -> anyhow::Error {
    usage("nothing is done yet: add --yes to do it")
}

/// Prints the error to standard error (as one JSON object with `--json`) and chooses the exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let reader_left = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe);
    if reader_left {
        // `countersign jobs list | head`: nobody wants to hear about it.
        return ExitCode::SUCCESS;
    }
    let (sentence, causes) = sentences(error);
    let mut stderr = std::io::stderr().lock();
    let _ = if json {
        writeln!(stderr, "{}", serde_json::json!({ "error": sentence, "causes": causes }))
    } else {
        let because: String = causes.iter().map(|cause| format!("\n  because: {cause}")).collect();
        writeln!(stderr, "countersign: {sentence}{because}")
    };
    if error.downcast_ref::<Usage>().is_some() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// The outermost sentence and the causes that say something new.
fn sentences(error: &anyhow::Error) -> (String, Vec<String>) {
    let mut told = vec![error.to_string()];
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !told.iter().any(|known| known.contains(&text)) {
            told.push(text);
        }
    }
    let sentence = told.remove(0);
    (sentence, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_repeats_is_told_once() {
        let error = anyhow::anyhow!("refused").context("can't connect: refused").context("no list");
        let (sentence, causes) = sentences(&error);
        assert_eq!(sentence, "no list");
        assert_eq!(causes, ["can't connect: refused"]);
    }
}
