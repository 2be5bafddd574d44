//! The second factor: codes of an authenticator app (TOTP), and recovery codes for when it is lost.
//!
//! Seeds are sealed for their account; recovery codes are kept as SHA-256 of 80 random bits. Each code works
//! once, which PostgreSQL decides ([`Factor::consume`]).

use chrono::{DateTime, Utc};
use domain::AccountId;
use rand::Rng;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};
use store::accounts::second_factor;
use store::{StoreError, Tx};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use vault::AuthKeys;

use crate::problem::{Code, Problem};

const PURPOSE: &str = "totp";
const SEED_BYTES: usize = 20;
const STEP_S: u64 = 30;
const DIGITS: u8 = 6;
const RECOVERY_BYTES: usize = 10;
/// Characters of a recovery code without its hyphens.
const RECOVERY_CHARS: usize = 16;

/// A seed and its sealed form.
pub(crate) struct Seed(SecretSlice<u8>);

impl Seed {
    pub(crate) fn new() -> Self {
        let mut seed = [0_u8; SEED_BYTES];
        rand::rng().fill_bytes(&mut seed);
        Self(seed.to_vec().into())
    }

    pub(crate) fn seal(&self, keys: &AuthKeys, account: AccountId) -> Result<Vec<u8>, Problem> {
        keys.seal(PURPOSE, self.0.expose_secret(), account.0.as_bytes()).map_err(Problem::internal)
    }

    pub(crate) fn open(keys: &AuthKeys, account: AccountId, sealed: &[u8]) -> Result<Self, Problem> {
        keys.open(PURPOSE, sealed, account.0.as_bytes()).map(Self).map_err(Problem::internal)
    }

    /// As authenticator apps take it typed.
    pub(crate) fn base32(&self) -> SecretString {
        Secret::from(self.0.expose_secret().to_vec()).to_base32().into()
    }

    /// As authenticator apps take it scanned.
    pub(crate) fn uri(&self, email: &str) -> Result<SecretString, Problem> {
        // A colon parts issuer and name there.
        let name = email.replace(':', "_");
        self.totp(&name).and_then(|totp| totp.to_url()).map(SecretString::from).map_err(Problem::internal)
    }

    /// The time step whose code this is: the present one or a neighbour.
    pub(crate) fn step_of(&self, code: &str, now: DateTime<Utc>) -> Option<i64> {
        let seconds = u64::try_from(now.timestamp()).ok()?;
        let step = self.totp("account").ok()?.check(code, seconds)?;
        i64::try_from(step).ok()
    }

    fn totp(&self, name: &str) -> Result<Totp, totp_rs::TotpError> {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(1)
            .with_step_duration(STEP_S)
            .with_secret(self.0.expose_secret().to_vec())
            .with_account_name(name)
            .with_issuer(Some("Countersign"))
            .build()
    }
}

/// What somebody showed, as far as it can be judged without the database.
pub(crate) enum Factor {
    /// The code of this time step.
    Step(i64),
    /// Something shaped like a recovery code, hashed.
    Recovery([u8; 32]),
}

impl Factor {
    /// Reads a code; none when it can't be right.
    pub(crate) fn read(seed: &Seed, code: &str, now: DateTime<Utc>) -> Option<Self> {
        let code: String = code.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').collect();
        if code.len() == usize::from(DIGITS) && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return seed.step_of(&code, now).map(Self::Step);
        }
        let code = code.to_ascii_uppercase();
        let shaped = code.len() == RECOVERY_CHARS
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte));
        shaped.then(|| Self::Recovery(Sha256::digest(code.as_bytes()).into()))
    }

    /// Uses it up in the transaction of its account: true for one caller only.
    pub(crate) async fn consume(
        &self,
        tx: &mut Tx,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Step(step) => second_factor::use_step(tx, *step).await,
            Self::Recovery(hash) => second_factor::use_recovery_code(tx, account, hash, now).await,
        }
    }
}

/// The answer to a code that is not right.
pub(crate) fn code_refused() -> Problem {
    Problem::new(
        Code::CodeRefused,
        "the code is not right, or was used already; wait for the app to show the next one, or use a recovery code",
    )
}

/// New recovery codes as people write them down, and their hashes.
pub(crate) fn new_recovery_codes() -> (Vec<String>, Vec<[u8; 32]>) {
    (0..second_factor::CODES)
        .map(|_| {
            let mut random = [0_u8; RECOVERY_BYTES];
            rand::rng().fill_bytes(&mut random);
            let code = Secret::from(random.to_vec()).to_base32();
            let shown: Vec<&str> =
                (0..RECOVERY_CHARS).step_by(4).filter_map(|at| code.get(at..at + 4)).collect();
            (shown.join("-"), <[u8; 32]>::from(Sha256::digest(code.as_bytes())))
        })
        .unzip()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, SHA-1: the last six of the eight digits.
        let seed = Seed(b"12345678901234567890".to_vec().into());
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            assert_eq!(seed.step_of(code, now), Some(seconds / 30));
            // A neighbour's code is that step's, so it works once as well.
            let later = DateTime::from_timestamp(seconds + 30, 0).unwrap();
            assert_eq!(seed.step_of(code, later), Some(seconds / 30));
            let much_later = DateTime::from_timestamp(seconds + 90, 0).unwrap();
            assert_eq!(seed.step_of(code, much_later), None);
        }
    }

    #[test]
    fn what_people_type_is_read() {
        let seed = Seed(b"12345678901234567890".to_vec().into());
        let now = DateTime::from_timestamp(59, 0).unwrap();
        for code in ["287082", " 287 082 ", "287-082"] {
            assert!(matches!(Factor::read(&seed, code, now), Some(Factor::Step(1))), "{code}");
        }
        let (codes, hashes) = new_recovery_codes();
        assert_eq!((codes.len(), codes[0].len()), (10, 19));
        for shown in [codes[0].clone(), codes[0].to_lowercase(), codes[0].replace('-', " ")] {
            assert!(
                matches!(Factor::read(&seed, &shown, now), Some(Factor::Recovery(hash)) if hash == hashes[0])
            );
        }
        for code in ["", "287083", "28708", "٢٨٧٠٨٢", "AAAA-AAAA-AAAA-AAA1", &"A".repeat(10_000)] {
            assert!(Factor::read(&seed, code, now).is_none(), "{code}");
        }
    }

    #[test]
    fn a_seed_opens_for_its_account_only() {
        let keys = AuthKeys::from_lines("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "test").unwrap();
        let (mine, other) = (AccountId::new(), AccountId::new());
        let seed = Seed::new();
        let sealed = seed.seal(&keys, mine).unwrap();
        assert_eq!(
            Seed::open(&keys, mine, &sealed).unwrap().base32().expose_secret(),
            seed.base32().expose_secret()
        );
        assert!(Seed::open(&keys, other, &sealed).is_err());
        let uri = seed.uri("a:b@example.com").unwrap();
        assert!(uri.expose_secret().starts_with("otpauth://totp/Countersign:a_b%40example.com?secret="));
    }
}
