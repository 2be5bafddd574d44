//! Lines and answers as they are on the wire.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// One line from a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes, without the CRLF.
    Whole(Vec<u8>),
    /// Longer than allowed; it was read to its end and thrown away.
    TooLong,
    /// Ended by LF alone, or with a CR in its middle: servers disagree about what that means, which is how
    /// mail gets smuggled. It was thrown away.
    BadEnd,
    /// The client has left.
    Gone,
}

/// Reads one line of at most `max` bytes with its CRLF.
pub(super) async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), max: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let (mut too_long, mut last_was_cr, mut crlf) = (false, false, false);
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::Gone);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        if let Some(end) = end {
            crlf = end.checked_sub(1).map_or(last_was_cr, |before| available[before] == b'\r');
        }
        last_was_cr = available.last() == Some(&b'\r');
        if line.len() + taken > max {
            too_long = true;
            line.clear();
        } else if !too_long {
            line.extend_from_slice(&available[..taken]);
        }
        reader.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if too_long {
        return Ok(if crlf { Line::TooLong } else { Line::BadEnd });
    }
    match line.strip_suffix(b"\r\n") {
        Some(text) if !text.contains(&b'\r') => Ok(Line::Whole(text.to_vec())),
        _ => Ok(Line::BadEnd),
    }
}

/// An answer to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Reply {
    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// As bytes: every line but the last has a hyphen after its code.
    pub(super) fn wire(&self) -> String {
        let last = self.lines.len().saturating_sub(1);
        self.lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("{}{}{line}\r\n", self.code, if at < last { '-' } else { ' ' }))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_with_crlf_and_nothing_else() {
        let mut bytes: &[u8] = b"one\r\ntwo\nth\rree\r\n12345678\r\n123456789\n1234567\r\n\r\nrest";
        let mut next = Vec::new();
        for _ in 0..8 {
            next.push(read_line(&mut bytes, 9).await.unwrap());
        }
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        let expected = [
            whole("one"),
            Line::BadEnd,
            Line::BadEnd,
            Line::TooLong,
            Line::BadEnd,
            whole("1234567"),
            whole(""),
            Line::Gone,
        ];
        assert_eq!(next, expected);
    }

    #[test]
    fn answers_of_several_lines() {
        let reply = Reply { code: 250, lines: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(reply.wire(), "250-a\r\n250 b\r\n");
        assert_eq!(Reply::new(354, "go").wire(), "354 go\r\n");
    }
}
