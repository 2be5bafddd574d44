//! Passwords: what is good enough, and Argon2id at a bounded pace.
//!
//! Hashing is slow on purpose, so it is also what a flood would use up: two at a time, a short line, and
//! whoever comes after that is told to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use telemetry::metric;
use tokio::sync::Semaphore;

use crate::problem::{Code, Problem};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Shortest and longest password, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=200;

/// Hashed at once.
const AT_ONCE: usize = 2;

/// Most who wait for their turn.
const WAITING: usize = 64;

/// Checked where there is no password, so that it takes the same work. No password has this hash.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password can't be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct HashError(#[source] argon2::password_hash::Error);

/// Whether a password is good enough for this person; if not, what to do about it.
///
/// # Errors
/// A sentence that begins with a verb: "must have 12 to 200 characters".
pub fn check(password: &SecretString, email: &str, name: &str) -> Result<(), &'static str> {
    check_length(password)?;
    let password = password.expose_secret();
    let lower = password.to_lowercase();
    let local = email.split('@').next().unwrap_or_default();
    for own in [email, local, name] {
        let own = own.trim().to_lowercase();
        // A short name inside a long sentence gives nothing away.
        if own.chars().count() >= 4 && (lower.contains(&own) || own.contains(&lower)) {
            return Err("must not hold your name or e-mail address");
        }
    }
    let parts: Vec<&str> = name.split_whitespace().chain([email, local, "countersign"]).collect();
    if zxcvbn::zxcvbn(password, &parts).score() < zxcvbn::Score::Three {
        return Err("is easy to guess; use more words, or a password from a password manager");
    }
    Ok(())
}

/// What can be said of a password before anybody knows whose it is.
pub(crate) fn check_length(password: &SecretString) -> Result<(), &'static str> {
    let password = password.expose_secret();
    if !LENGTH.contains(&password.chars().count()) || password.contains('\0') {
        return Err("must have 12 to 200 characters and no U+0000");
    }
    Ok(())
}

/// Hashes on the calling thread, for some 20 ms: for command lines. The answer is a PHC string.
///
/// # Errors
/// [`HashError`] when the system has no random numbers to give.
pub fn hash(password: &SecretString) -> Result<String, HashError> {
    metrics::counter!(metric::PASSWORD_HASHES_TOTAL).increment(1);
    let hasher = hasher().map_err(HashError)?;
    let hash: PasswordHash = hasher.hash_password(password.expose_secret().as_bytes()).map_err(HashError)?;
    Ok(hash.to_string())
}

fn hasher() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// What checking a password found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, and hashed by settings that are no longer ours: hash it again.
    RightButOld,
}

/// Checks on the calling thread. Without a hash, the same work is done for nothing.
fn verify(password: &SecretString, hash: Option<&str>) -> Verdict {
    metrics::counter!(metric::PASSWORD_HASHES_TOTAL).increment(1);
    let known = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let (Ok(hasher), Ok(nobodys)) = (hasher(), PasswordHash::new(NOBODYS)) else { return Verdict::Wrong };
    let against = known.as_ref().unwrap_or(&nobodys);
    let fits = hasher.verify_password(password.expose_secret().as_bytes(), against).is_ok();
    if !fits || known.is_none() {
        return Verdict::Wrong;
    }
    let ours = against.algorithm == nobodys.algorithm
        && against.version == nobodys.version
        && against.params == nobodys.params;
    if ours { Verdict::Right } else { Verdict::RightButOld }
}

/// Hashes beside the requests, a few at a time.
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)), waiting: AtomicUsize::new(0) }
    }
}

impl Passwords {
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<Verdict, Problem> {
        self.blocking(move || verify(&password, hash.as_deref())).await
    }

    /// Checks that a new password is good enough and hashes it. `pointer` is its place in the request.
    pub(crate) async fn accept(
        &self,
        password: SecretString,
        email: &str,
        name: &str,
        pointer: &'static str,
    ) -> Result<String, Problem> {
        let (email, name) = (email.to_owned(), name.to_owned());
        self.blocking(move || match check(&password, &email, &name) {
            Ok(()) => hash(&password).map_err(Problem::internal),
            Err(why) => Err(Problem::field(pointer, why)),
        })
        .await?
    }

    /// The same password by today's settings.
    pub(crate) async fn hash_again(&self, password: SecretString) -> Result<String, Problem> {
        self.blocking(move || hash(&password)).await?.map_err(Problem::internal)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _place = Place::take(&self.waiting)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(Problem::internal)?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
        .map_err(Problem::internal)
    }
}

/// A place in the line, given back also by those who hang up.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(line: &'a AtomicUsize) -> Result<Self, Problem> {
        let place = Self(line);
        if line.fetch_add(1, Ordering::Relaxed) >= AT_ONCE + WAITING {
            return Err(Problem::new(
                Code::SignInSlowed,
                "too many passwords are being checked at the moment; try again shortly",
            )
            .retry_after(Duration::from_secs(2)));
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_recognised_and_old_settings_too() {
        let password = SecretString::from("vier Äpfel am Zaun ☂");
        let hashed = hash(&password).unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_eq!(verify(&password, Some(&hashed)), Verdict::Right);
        assert_eq!(verify(&"vier Äpfel am Zaun".into(), Some(&hashed)), Verdict::Wrong);
        for none in [None, Some(""), Some("$argon2id$broken"), Some(NOBODYS)] {
            assert_eq!(verify(&password, none), Verdict::Wrong);
        }
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let old: PasswordHash = weak.hash_password(password.expose_secret().as_bytes()).unwrap();
        assert_eq!(verify(&password, Some(&old.to_string())), Verdict::RightButOld);
    }

    #[test]
    fn weak_passwords_are_told_why() {
        let of = |password: &str| check(&password.into(), "maria.lopez@example.com", "María López");
        for (password, says) in [
            ("short", "12 to 200"),
            (&*"x".repeat(201), "12 to 200"),
            ("twelve\0twelve", "12 to 200"),
            ("maria.lopez-2026!", "your name"),
            ("my María López pass", "your name"),
            ("password1234", "easy to guess"),
            ("aaaaaaaaaaaaaaaa", "easy to guess"),
            ("qwertyuiop123", "easy to guess"),
        ] {
            assert!(of(password).unwrap_err().contains(says), "{password}");
        }
        for password in ["correct horse battery staple", "  पानीको गिलास टेबलमा छ  ", "xK9#mQ2$vL7@"]
        {
            assert_eq!(of(password), Ok(()), "{password}");
        }
    }

    #[tokio::test]
    async fn the_line_is_short() {
        let passwords = Arc::new(Passwords::default());
        let held: Vec<_> = (0..AT_ONCE + WAITING).map(|_| Place::take(&passwords.waiting).unwrap()).collect();
        let refused = passwords.verify("x".into(), None).await.unwrap_err();
        assert_eq!(refused.code(), Code::SignInSlowed);
        drop(held);
        assert_eq!(passwords.verify("x".into(), None).await.unwrap(), Verdict::Wrong);
    }
}
