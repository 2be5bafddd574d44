//! What a client asks for, read from one line. Syntax only: whether it is the moment for it is the
//! session's business.

use super::wire::Reply;

/// One command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// EHLO, with extensions.
    Ehlo,
    /// HELO, without.
    Helo,
    Mail(Mail),
    Rcpt(String),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
}

/// MAIL FROM with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    /// Empty for `<>`.
    pub(super) from: String,
    pub(super) size: Option<usize>,
    pub(super) smtputf8: bool,
}

const MAX_PATH_BYTES: usize = 254;

impl Command {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Reply> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Reply::new(500, "5.5.2 commands are UTF-8 text"));
        };
        if line.chars().any(char::is_control) {
            return Err(Reply::new(500, "5.5.2 commands hold no control characters"));
        }
        let line = line.trim_end_matches(' ');
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let argument = rest.trim_start_matches(' ');
        let alone = |command| {
            if argument.is_empty() { Ok(command) } else { Err(Reply::new(501, "5.5.4 no argument expected")) }
        };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if argument.is_empty() || argument.contains(' ') => {
                Err(Reply::new(501, "5.5.4 say your name, such as EHLO client.example"))
            }
            "EHLO" => Ok(Self::Ehlo),
            "HELO" => Ok(Self::Helo),
            "MAIL" => mail(argument).map(Self::Mail),
            "RCPT" => recipient(argument).map(Self::Rcpt),
            "DATA" => alone(Self::Data),
            "RSET" => alone(Self::Rset),
            "QUIT" => alone(Self::Quit),
            "NOOP" => Ok(Self::Noop),
            "VRFY" if argument.is_empty() => Err(Reply::new(501, "5.5.4 say whom")),
            "VRFY" => Ok(Self::Vrfy),
            "HELP" => Ok(Self::Help),
            "EXPN" | "STARTTLS" | "AUTH" | "TURN" | "ETRN" => Err(Reply::new(502, "5.5.1 not implemented")),
            _ => Err(Reply::new(500, "5.5.2 unknown command")),
        }
    }
}

fn mail(argument: &str) -> Result<Mail, Reply> {
    let (from, parameters) = path(argument, "FROM:")?;
    let mut mail = Mail { from: from.to_owned(), ..Mail::default() };
    for parameter in parameters.split(' ').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (key.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
            ("SIZE", size)
                if !size.is_empty() && size.len() <= 20 && size.bytes().all(|b| b.is_ascii_digit()) =>
            {
                mail.size = Some(size.parse().unwrap_or(usize::MAX));
            }
            ("BODY", "7BIT" | "8BITMIME") => {}
            ("SMTPUTF8", "") => mail.smtputf8 = true,
            ("SIZE" | "BODY" | "SMTPUTF8", _) => return Err(Reply::new(501, "5.5.4 bad parameter value")),
            _ => return Err(Reply::new(555, "5.5.4 unknown MAIL parameter")),
        }
    }
    Ok(mail)
}

fn recipient(argument: &str) -> Result<String, Reply> {
    match path(argument, "TO:")? {
        ("", _) => Err(Reply::new(501, "5.1.3 the recipient is empty")),
        (to, "") => Ok(to.to_owned()),
        _ => Err(Reply::new(555, "5.5.4 unknown RCPT parameter")),
    }
}

/// The address between `<` and `>` after `FROM:` or `TO:`, and what follows.
fn path<'a>(argument: &'a str, word: &'static str) -> Result<(&'a str, &'a str), Reply> {
    let syntax = || Reply::new(501, format!("5.5.4 write {word}<address>"));
    let rest = match argument.get(..word.len()) {
        Some(start) if start.eq_ignore_ascii_case(word) => &argument[word.len()..],
        _ => return Err(syntax()),
    };
    // Not in the standard, but everywhere.
    let rest = rest.trim_start_matches(' ').strip_prefix('<').ok_or_else(syntax)?;
    let (mut quoted, mut escaped, mut end) = (false, false, None);
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                end = Some(at);
                break;
            }
            ' ' if !quoted => return Err(syntax()),
            _ => {}
        }
    }
    let end = end.ok_or_else(syntax)?;
    let after = &rest[end + 1..];
    if !(after.is_empty() || after.starts_with(' ')) {
        return Err(syntax());
    }
    let mut address = &rest[..end];
    // A route is to be read and ignored.
    if address.starts_with('@') {
        address = address.split_once(':').ok_or_else(syntax)?.1;
    }
    if address.len() > MAX_PATH_BYTES {
        return Err(Reply::new(501, "5.1.3 the address is too long"));
    }
    let complete =
        address.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if complete || address.is_empty() || address.eq_ignore_ascii_case("postmaster") {
        Ok((address, after.trim_matches(' ')))
    } else {
        Err(Reply::new(501, "5.1.3 an address is local@domain"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code(line: &str) -> u16 {
        Command::parse(line.as_bytes()).unwrap_err().code
    }

    #[test]
    fn commands_are_read_in_any_case() {
        let parse = |line: &str| Command::parse(line.as_bytes()).unwrap();
        assert_eq!(parse("ehlo client.example"), Command::Ehlo);
        assert_eq!(parse("Data  "), Command::Data);
        assert_eq!(parse("NOOP whatever"), Command::Noop);
        assert_eq!(parse("mail from:<>"), Command::Mail(Mail::default()));
        let mail = Mail { from: "a@example.com".to_owned(), size: Some(12), smtputf8: true };
        assert_eq!(parse("MAIL FROM: <a@example.com> SIZE=12 body=8bitmime SMTPUTF8"), Command::Mail(mail));
        assert_eq!(parse("RCPT TO:<@r.example:b@example.com>"), Command::Rcpt("b@example.com".to_owned()));
        assert_eq!(
            parse("RCPT TO:<\"a > b\"@example.com>"),
            Command::Rcpt("\"a > b\"@example.com".to_owned())
        );
        assert_eq!(parse("RCPT TO:<Postmaster>"), Command::Rcpt("Postmaster".to_owned()));
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (line, expected) in [
            ("", 500),
            ("HELLO", 500),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("DATA now", 501),
            ("MAIL a@example.com", 501),
            ("MAIL FROM:a@example.com", 501),
            ("MAIL FROM:<a@example.com", 501),
            ("MAIL FROM:<a@example.com>SIZE=1", 501),
            ("MAIL FROM:<a@example.com> SIZE=-1", 501),
            ("MAIL FROM:<a@example.com> BODY=BINARYMIME", 501),
            ("MAIL FROM:<a@example.com> RET=FULL", 555),
            ("MAIL FROM:<é", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a b@example.com>", 501),
            ("RCPT TO:<a@example.com> NOTIFY=NEVER", 555),
            ("RCPT TO:<nobody>", 501),
            ("STARTTLS", 502),
            ("NOOP \u{7}", 500),
        ] {
            assert_eq!(code(line), expected, "{line:?}");
        }
        assert_eq!(Command::parse(b"NOOP \xff").unwrap_err().code, 500);
    }
}
