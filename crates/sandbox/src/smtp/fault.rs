//! Misbehaviour on demand: the recipient's name says what goes wrong.

use std::time::Duration;

/// What happens to a mail for a recipient with a telling name. What follows a `+` is ignored, so
/// `reject-550+1@example.com` and `reject-550+2@example.com` are two people with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `reject-550@…` (500 to 599): the recipient is refused for good.
    Reject(u16),
    /// `defer-451@…` (400 to 499): the recipient is refused for now; 421 also ends the conversation.
    Defer(u16),
    /// `data-554@…` (400 to 599): the recipient is taken, the mail is not.
    Data(u16),
    /// `hang@…`: no answer to the recipient, ever.
    Hang,
    /// `hang-after-data@…`: the mail is kept, but no answer follows.
    HangAfterData,
    /// `drop@…`: the connection ends at the recipient.
    Drop,
    /// `drop-after-data@…`: the mail is kept, then the connection ends without an answer.
    DropAfterData,
    /// `slow-1500@…` (at most 60,000): each answer about the recipient and the mail takes so many
    /// milliseconds.
    Slow(Duration),
}

impl Fault {
    /// What an address asks for; ordinary ones ask for nothing.
    #[must_use]
    pub fn of(address: &str) -> Option<Self> {
        let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
        let local = local.split('+').next().unwrap_or_default().to_ascii_lowercase();
        match local.as_str() {
            "hang" => return Some(Self::Hang),
            "hang-after-data" => return Some(Self::HangAfterData),
            "drop" => return Some(Self::Drop),
            "drop-after-data" => return Some(Self::DropAfterData),
            _ => {}
        }
        let (what, number) = local.split_once('-')?;
        let number: u16 = number.parse().ok()?;
        match (what, number) {
            ("reject", 500..=599) => Some(Self::Reject(number)),
            ("defer", 400..=499) => Some(Self::Defer(number)),
            ("data", 400..=599) => Some(Self::Data(number)),
            ("slow", 0..=60_000) => Some(Self::Slow(Duration::from_millis(number.into()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_faults() {
        for (address, fault) in [
            ("reject-550@example.com", Some(Fault::Reject(550))),
            ("Reject-552+a-1@example.com", Some(Fault::Reject(552))),
            ("defer-451@example.com", Some(Fault::Defer(451))),
            ("data-554@example.com", Some(Fault::Data(554))),
            ("hang@example.com", Some(Fault::Hang)),
            ("hang-after-data@example.com", Some(Fault::HangAfterData)),
            ("drop@example.com", Some(Fault::Drop)),
            ("drop-after-data@example.com", Some(Fault::DropAfterData)),
            ("slow-20@example.com", Some(Fault::Slow(Duration::from_millis(20)))),
            ("reject-450@example.com", None),
            ("defer-550@example.com", None),
            ("slow-70000@example.com", None),
            ("hangman@example.com", None),
            ("anna@reject-550.example", None),
        ] {
            assert_eq!(Fault::of(address), fault, "{address}");
        }
    }
}
