//! What `dev` prints: sentences for people, JSON lines for programs, and the children's louder log lines.

use std::fmt::Display;
use std::io::IsTerminal;

use serde_json::{Value, json};

use crate::output::Out;

/// The terminal. Cheap to clone; a reader that has gone away is no reason to stop.
#[derive(Clone)]
pub(crate) struct Console {
    out: Out,
    colours: bool,
}

impl Console {
    /// Prints as `out` says.
    pub(crate) fn new(out: Out) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out, colours: wanted && !out.is_json() && std::io::stdout().is_terminal() }
    }

    /// A sentence.
    pub(crate) fn say(&self, text: impl Display) {
        let text = text.to_string();
        self.event(&json!({ "event": "note", "text": text }), &text);
    }

    /// Something that happened, for programs and for people.
    pub(crate) fn event(&self, event: &Value, text: &str) {
        let _ = self.out.json(event);
        let _ = self.out.say(text);
    }

    /// A line of a child's log.
    pub(crate) fn log(&self, child: &str, colour: u8, line: &str) {
        let _ = self.out.json(&json!({ "event": "log", "process": child, "line": line }));
        let _ = self.out.say(format_args!("{} {line}", self.paint(&format!("{child:<10}|"), colour)));
    }

    /// `text` in one of the terminal's colours.
    pub(crate) fn paint(&self, text: &str, colour: u8) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
