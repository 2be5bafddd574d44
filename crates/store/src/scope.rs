//! What a token may do: a small set of words.

use std::fmt;
use std::str::FromStr;

/// One permission of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// See jobs, dead letters, lanes, limits, schedules, workers, events.
    JobsRead = 1,
    /// Enqueue, cancel, retry.
    JobsWrite = 2,
    /// Replay and discard dead letters.
    DeadWrite = 4,
    /// Pause, resume, drain lanes and change their caps.
    LanesWrite = 8,
    /// Change rate limits.
    LimitsWrite = 16,
    /// Make, change, pause and delete schedules.
    SchedulesWrite = 32,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [
        Self::JobsRead,
        Self::JobsWrite,
        Self::DeadWrite,
        Self::LanesWrite,
        Self::LimitsWrite,
        Self::SchedulesWrite,
    ];

    /// The scope as it is stored and written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::DeadWrite => "dead:write",
            Self::LanesWrite => "lanes:write",
            Self::LimitsWrite => "limits:write",
            Self::SchedulesWrite => "schedules:write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "“{0}” is no scope; use jobs:read, jobs:write, dead:write, lanes:write, limits:write, schedules:write or *"
)]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes; `*` holds every one there is and will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything (`*`).
    pub const ALL: Self = Self(u8::MAX);

    /// A set of the given scopes.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |set, scope| set | *scope as u8))
    }

    /// Reads words such as `jobs:read` or `*`.
    ///
    /// # Errors
    /// The first word that is no scope.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, UnknownScope> {
        words.iter().map(AsRef::as_ref).try_fold(Self::default(), |set, word| {
            if word == "*" {
                return Ok(Self::ALL);
            }
            Ok(Self(set.0 | word.parse::<Scope>()? as u8))
        })
    }

    /// Reads stored words, passing over those that this version does not know.
    pub(crate) fn from_stored(words: &[String]) -> Self {
        words.iter().fold(Self::default(), |set, word| match word.as_str() {
            "*" => Self::ALL,
            word => Self(set.0 | word.parse::<Scope>().map_or(0, |scope| scope as u8)),
        })
    }

    /// Whether the set holds `scope`.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Whether the set holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words of the set: `["*"]` for everything.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        if self == Self::ALL {
            return vec!["*".to_owned()];
        }
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(|scope| scope.to_string()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sets_are_each_others_inverse() {
        for scope in Scope::ALL {
            let set = Scopes::of(&[scope]);
            assert_eq!(Scopes::parse(&set.words()).unwrap(), set);
            assert!(Scopes::ALL.has(scope));
            assert!(!Scopes::default().has(scope));
        }
        assert_eq!(Scopes::ALL.words(), ["*"]);
        assert_eq!(Scopes::parse(&["jobs:read", "*"]).unwrap(), Scopes::ALL);
    }

    #[test]
    fn an_unknown_word_is_named() {
        assert_eq!(Scopes::parse(&["jobs:reed"]).unwrap_err(), UnknownScope("jobs:reed".into()));
        assert_eq!(
            Scopes::from_stored(&["jobs:reed".into(), "jobs:read".into()]),
            Scopes::of(&[Scope::JobsRead])
        );
    }
}
