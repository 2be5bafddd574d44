//! The words of a mail: one catalogue a language, one layout for plain text and one for HTML.
//!
//! Names come from strangers. In HTML they are escaped and isolated (`<bdi>`), in plain text isolated by
//! invisible marks, so that a name can neither become markup nor turn the direction of the sentence around it.

use chrono::{DateTime, Utc};
use minijinja::value::Value;
use minijinja::{Environment, HtmlEscape, UndefinedBehavior, context};
use serde_json::Value as Json;
use url::Url;

const CATALOGUES: &[(&str, &str)] = &[
    ("en", include_str!("letters/en.json")),
    ("es", include_str!("letters/es.json")),
    ("ne", include_str!("letters/ne.json")),
    ("ar", include_str!("letters/ar.json")),
];
const HTML: &str = include_str!("letters/letter.html");
const TEXT: &str = include_str!("letters/letter.txt");

/// Longest name in a mail, in characters.
const NAME_CHARS: usize = 100;

/// What a mail is about.
pub(super) enum About<'a> {
    /// An invitation.
    Invitation { org: &'a str, inviter: Option<&'a str>, role: &'a str },
    /// A new password.
    PasswordReset { name: &'a str, email: &'a str },
}

/// A mail's parts.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
    pub(super) language: String,
}

/// A catalogue or a layout that is written wrongly: a mistake in code, and a test holds that there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum LetterError {
    #[error("the catalogue can't be read")]
    Catalogue(#[from] serde_json::Error),
    #[error("the catalogue has no text {0}")]
    Missing(String),
    #[error("a text of the mail can't be filled in")]
    Template(#[from] minijinja::Error),
}

/// Writes a mail in this language, or in English where there is none such.
pub(super) fn write(
    about: &About<'_>,
    language: &str,
    link: &Url,
    until: DateTime<Utc>,
) -> Result<Letter, LetterError> {
    let known = CATALOGUES.iter().find(|(known, _)| *known == language);
    let (language, catalogue) = *known.or(CATALOGUES.first()).unwrap_or(&("en", "{}"));
    let catalogue: Json = serde_json::from_str(catalogue)?;
    let writer = Writer { catalogue, language, about, link, until };
    let subject = writer.fill(writer.subject(), Form::Line)?;
    Ok(Letter {
        text: writer.lay_out(TEXT, Form::Text)?,
        html: writer.lay_out(HTML, Form::Html)?,
        subject,
        language: language.to_owned(),
    })
}

/// Where a text will stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Line,
    Text,
    Html,
}

impl Form {
    /// The template's name decides whether values are escaped.
    fn file(self) -> &'static str {
        match self {
            Self::Line | Self::Text => "letter.txt",
            Self::Html => "letter.html",
        }
    }

    fn name(self, name: &str) -> Value {
        let unfit = |c: &char| {
            c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let name: String = name.chars().filter(|c| !unfit(c)).take(NAME_CHARS).collect();
        match self {
            Self::Line => Value::from(name),
            Self::Text => Value::from(format!("\u{2068}{name}\u{2069}")),
            Self::Html => Value::from_safe_string(format!("<bdi>{}</bdi>", HtmlEscape(&name))),
        }
    }
}

struct Writer<'a> {
    catalogue: Json,
    language: &'static str,
    about: &'a About<'a>,
    link: &'a Url,
    until: DateTime<Utc>,
}

impl Writer<'_> {
    fn section(&self) -> &'static str {
        match self.about {
            About::Invitation { .. } => "invitation",
            About::PasswordReset { .. } => "password_reset",
        }
    }

    fn subject(&self) -> String {
        format!("/{}/subject", self.section())
    }

    fn intro(&self) -> String {
        match self.about {
            About::Invitation { inviter: None, .. } => "/invitation/intro_unnamed".to_owned(),
            _ => format!("/{}/intro", self.section()),
        }
    }

    fn text(&self, pointer: &str) -> Result<&str, LetterError> {
        let text = self.catalogue.pointer(pointer).and_then(Json::as_str);
        text.ok_or_else(|| LetterError::Missing(format!("{}{pointer}", self.language)))
    }

    /// One text of the catalogue with its names put in.
    fn fill(&self, pointer: impl AsRef<str>, form: Form) -> Result<String, LetterError> {
        let until = self.until.format("%Y-%m-%d %H:%M UTC").to_string();
        let values = match self.about {
            About::Invitation { org, inviter, role } => context! {
                org => form.name(org),
                inviter => form.name(inviter.unwrap_or_default()),
                role => form.name(self.text(&format!("/roles/{role}"))?),
                until => form.name(&until),
            },
            About::PasswordReset { name, email } => context! {
                name => form.name(name),
                email => form.name(email),
                until => form.name(&until),
            },
        };
        Ok(environment().render_named_str(form.file(), self.text(pointer.as_ref())?, values)?)
    }

    /// The whole mail.
    fn lay_out(&self, layout: &str, form: Form) -> Result<String, LetterError> {
        // What was filled in is escaped already.
        let filled = |pointer: &str| -> Result<Value, LetterError> {
            Ok(Value::from_safe_string(self.fill(pointer, form)?))
        };
        let section = self.section();
        let values = context! {
            language => self.language,
            dir => self.text("/dir")?,
            subject => self.fill(self.subject(), Form::Line)?,
            intro => filled(&self.intro())?,
            action => filled(&format!("/{section}/action"))?,
            until => filled("/until")?,
            otherwise => filled(&format!("/{section}/otherwise"))?,
            link_hint => filled("/link_hint")?,
            // A URL holds no quote and no angle bracket; readers find its slashes as slashes.
            link => Value::from_safe_string(self.link.as_str().replace('&', "&amp;")),
        };
        Ok(environment().render_named_str(form.file(), layout, values)?)
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn link() -> Url {
        "https://app.example.com/invitation#token=abc_-123".parse().unwrap()
    }

    fn until() -> DateTime<Utc> {
        "2026-05-01T12:30:00Z".parse().unwrap()
    }

    fn keys(value: &Json, at: &str, found: &mut BTreeSet<String>) {
        match value {
            Json::Object(fields) => {
                fields.iter().for_each(|(key, value)| keys(value, &format!("{at}/{key}"), found));
            }
            Json::String(text) => {
                assert!(!text.is_empty() && !text.contains(['<', '>', '&']), "{at}: {text}");
                // The names that a text puts in, so that none is lost in translation.
                let mut names: Vec<&str> =
                    text.split("{{ ").skip(1).filter_map(|rest| rest.split(" }}").next()).collect();
                names.sort_unstable();
                found.insert(format!("{at} {names:?}"));
            }
            other => panic!("{at}: {other}"),
        }
    }

    #[test]
    fn every_language_has_every_text_with_the_same_names_in_it() {
        let of = |catalogue: &str| {
            let mut found = BTreeSet::new();
            keys(&serde_json::from_str(catalogue).unwrap(), "", &mut found);
            found
        };
        let english = of(CATALOGUES[0].1);
        assert!(english.len() > 15, "{english:?}");
        for (language, catalogue) in CATALOGUES {
            assert_eq!(of(catalogue), english, "{language}");
        }
        for role in domain::Role::ALL {
            assert!(english.iter().any(|key| key.starts_with(&format!("/roles/{role} "))), "{role}");
        }
    }

    #[test]
    fn names_are_neither_markup_nor_directions() {
        let evil = "<img src=x onerror=alert(1)>\u{202e}\r\nBcc: x & \"y\"";
        for (language, _) in CATALOGUES {
            for about in [
                About::Invitation { org: evil, inviter: Some(evil), role: "owner" },
                About::Invitation { org: evil, inviter: None, role: "support" },
                About::PasswordReset { name: evil, email: evil },
            ] {
                let letter = write(&about, language, &link(), until()).unwrap();
                assert!(!letter.html.contains("<img") && letter.html.contains("&lt;img"), "{}", letter.html);
                assert!(!letter.subject.contains(['\r', '\n', '\u{202e}']), "{}", letter.subject);
                for part in [&letter.html, &letter.text] {
                    assert!(!part.contains('\u{202e}') && !part.contains("{{"), "{part}");
                    assert!(
                        part.contains("#token=abc_-123") && part.contains("2026-05-01 12:30 UTC"),
                        "{part}"
                    );
                }
                assert!(!letter.text.contains("&lt;") && !letter.text.contains("<bdi>"), "{}", letter.text);
            }
        }
    }

    #[test]
    fn arabic_runs_from_right_to_left_and_unknown_languages_are_english() {
        let about = About::Invitation { org: "Acme & Söhne", inviter: Some("Ann"), role: "manager" };
        let arabic = write(&about, "ar", &link(), until()).unwrap();
        assert!(arabic.html.contains(r#"<html lang="ar" dir="rtl">"#), "{}", arabic.html);
        assert!(arabic.html.contains("<bdi>Acme &amp; Söhne</bdi>"), "{}", arabic.html);
        let unknown = write(&about, "xx", &link(), until()).unwrap();
        assert_eq!((&*unknown.language, &*unknown.subject), ("en", "You are invited to Acme & Söhne"));
        assert!(unknown.text.contains("\u{2068}Ann\u{2069} invites you"), "{}", unknown.text);
    }
}
