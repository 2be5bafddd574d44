//! What a command prints on standard output: tables and sentences for people, or JSON for programs.
//! Progress bars and logs go to standard error, so both can be told apart.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::table::{Table, cut};

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
}

impl Out {
    /// JSON or text.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read along.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One JSON value on one line; nothing for people.
    pub(crate) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json { line(&serde_json::to_string(value)?) } else { Ok(()) }
    }

    /// A line for people; nothing for programs.
    pub(crate) fn say(self, text: impl Display) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { line(&text.to_string()) }
    }

    /// A table for people, or `empty` when it has no row; nothing for programs.
    pub(crate) fn table(self, table: &Table, empty: &str) -> anyhow::Result<()> {
        if table.is_empty() { self.say(empty) } else { self.say(table) }
    }

    /// Whether a person looks at standard output, and lines have an edge.
    pub(crate) fn is_terminal(self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// A long cell of a table: cut on a terminal, whole in a pipe or a file.
    pub(crate) fn cell(self, text: &str, limit: usize) -> String {
        if self.is_terminal() { cut(text, limit) } else { text.to_owned() }
    }

    /// A bar for `total` steps; hidden with `--json` and where standard error is no terminal.
    pub(crate) fn progress(self, total: u64, what: &'static str) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(total).with_message(what);
        let form = "{msg} {bar:30} {human_pos}/{human_len} {per_sec} {eta}";
        match ProgressStyle::with_template(form) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    // Somebody may be reading line by line.
    stdout.flush()?;
    Ok(())
}
