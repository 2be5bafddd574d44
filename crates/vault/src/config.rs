//! Where this process's keys are: read from the environment in one place, refused when it contradicts
//! itself. Nothing is loaded before it is asked for, so a process needs only the keys it uses.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::kind::{ALL, AUDIT, AUDIT_PUBLIC, AUTH, Kind, VAULT, VAULT_PUBLIC};
use crate::{AuthKeys, CheckpointKey, CheckpointPublicKey, OpeningKeys, SealingKeys, VaultError, files};

/// The variable that names the folder.
const DIR: &str = "COUNTERSIGN_KEYS_DIR";

/// Where keys come from.
#[derive(Clone, Debug, Default)]
pub struct KeyConfig {
    /// `COUNTERSIGN_KEYS_DIR`: a folder as `countersign keys init` makes it.
    pub dir: Option<PathBuf>,
    /// `COUNTERSIGN_VAULT_PRIVATE_KEYS`: the text of `vault.pem`. For workers only.
    pub vault_private: Option<SecretString>,
    /// `COUNTERSIGN_VAULT_PUBLIC_KEYS`: the text of `vault.pub.pem`. Where it is not set, the public halves
    /// of the private keys are used, if those are.
    pub vault_public: Option<SecretString>,
    /// `COUNTERSIGN_AUTH_KEYS`: the text of `auth.keys`; commas may stand for line ends.
    pub auth: Option<SecretString>,
    /// `COUNTERSIGN_AUDIT_KEY`: the text of `audit.pem`.
    pub audit: Option<SecretString>,
    /// `COUNTERSIGN_AUDIT_PUBLIC_KEY`: the text of `audit.pub`. Where it is not set, the public half of the
    /// signing key is used, if that is.
    pub audit_public: Option<SecretString>,
}

impl KeyConfig {
    /// Reads the settings by name, as from the process's environment. Empty ones count as not set.
    ///
    /// # Errors
    /// [`VaultError::Contradiction`] when a folder is named and a key is given as text as well.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, VaultError> {
        let text = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let dir = text(DIR).map(|dir| PathBuf::from(dir.trim()));
        if dir.is_some()
            && let Some(both) = ALL.iter().find(|kind| text(kind.variable).is_some())
        {
            return Err(VaultError::Contradiction { variable: both.variable });
        }
        let secret = |kind: Kind| text(kind.variable).map(SecretString::from);
        Ok(Self {
            dir,
            vault_private: secret(VAULT),
            vault_public: secret(VAULT_PUBLIC),
            auth: secret(AUTH),
            audit: secret(AUDIT),
            audit_public: secret(AUDIT_PUBLIC),
        })
    }

    /// Whether anything was said about keys at all.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let texts = [&self.vault_private, &self.vault_public, &self.auth, &self.audit, &self.audit_public];
        self.dir.is_some() || texts.iter().any(|text| text.is_some())
    }

    /// The keys of a folder.
    #[must_use]
    pub fn from_dir(dir: &Path) -> Self {
        Self { dir: Some(dir.to_path_buf()), ..Self::default() }
    }

    /// Opens provider credentials.
    ///
    /// # Errors
    /// [`VaultError::NotConfigured`] or [`VaultError::NoFile`] when there are none (see [`if_any`]), and
    /// what is wrong with them otherwise. So for the other keys.
    pub fn opening_keys(&self) -> Result<OpeningKeys, VaultError> {
        self.load(VAULT, self.vault_private.as_ref(), files::opening_keys, OpeningKeys::from_pem)
    }

    /// Seals provider credentials.
    ///
    /// # Errors
    /// As [`KeyConfig::opening_keys`].
    pub fn sealing_keys(&self) -> Result<SealingKeys, VaultError> {
        if self.vault_public.is_none() && self.vault_private.is_some() {
            return SealingKeys::from_pem(&self.opening_keys()?.public_pem(), VAULT.variable);
        }
        self.load(VAULT_PUBLIC, self.vault_public.as_ref(), files::sealing_keys, SealingKeys::from_pem)
    }

    /// The API's own keys.
    ///
    /// # Errors
    /// As [`KeyConfig::opening_keys`].
    pub fn auth_keys(&self) -> Result<AuthKeys, VaultError> {
        self.load(AUTH, self.auth.as_ref(), files::auth_keys, AuthKeys::from_lines)
    }

    /// Signs audit checkpoints.
    ///
    /// # Errors
    /// As [`KeyConfig::opening_keys`].
    pub fn checkpoint_key(&self) -> Result<CheckpointKey, VaultError> {
        self.load(AUDIT, self.audit.as_ref(), files::checkpoint_key, CheckpointKey::from_pem)
    }

    /// Checks audit checkpoints.
    ///
    /// # Errors
    /// As [`KeyConfig::opening_keys`].
    pub fn checkpoint_public_key(&self) -> Result<CheckpointPublicKey, VaultError> {
        if self.audit_public.is_none() && self.audit.is_some() {
            return Ok(self.checkpoint_key()?.public().clone());
        }
        self.load(
            AUDIT_PUBLIC,
            self.audit_public.as_ref(),
            files::checkpoint_public_key,
            CheckpointPublicKey::from_text,
        )
    }

    fn load<T>(
        &self,
        kind: Kind,
        text: Option<&SecretString>,
        from_dir: impl Fn(&Path) -> Result<T, VaultError>,
        from_text: impl Fn(&str, &str) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        match (&self.dir, text) {
            (_, Some(text)) => from_text(text.expose_secret(), kind.variable),
            (Some(dir), None) => from_dir(dir),
            (None, None) => {
                Err(VaultError::NotConfigured { what: kind.what, file: kind.file, variable: kind.variable })
            }
        }
    }
}

/// Turns "there are none" into `None`, and leaves every other error: for a process that can do without.
///
/// # Errors
/// Those of `loaded` that do not say that the keys are missing.
pub fn if_any<T>(loaded: Result<T, VaultError>) -> Result<Option<T>, VaultError> {
    match loaded {
        Ok(keys) => Ok(Some(keys)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::checkpoint;
    use crate::fixtures::old_key;

    const AUTH_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn config(set: &[(&str, &str)]) -> Result<KeyConfig, VaultError> {
        KeyConfig::from_env(|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_not_set_is_asked_for_by_name() {
        let none = config(&[("COUNTERSIGN_KEYS_DIR", " "), ("COUNTERSIGN_AUTH_KEYS", "")]).unwrap();
        for (error, file, variable) in [
            (none.opening_keys().unwrap_err(), "vault.pem", "COUNTERSIGN_VAULT_PRIVATE_KEYS"),
            (none.sealing_keys().unwrap_err(), "vault.pub.pem", "COUNTERSIGN_VAULT_PUBLIC_KEYS"),
            (none.auth_keys().unwrap_err(), "auth.keys", "COUNTERSIGN_AUTH_KEYS"),
            (none.checkpoint_key().unwrap_err(), "audit.pem", "COUNTERSIGN_AUDIT_KEY"),
            (none.checkpoint_public_key().unwrap_err(), "audit.pub", "COUNTERSIGN_AUDIT_PUBLIC_KEY"),
        ] {
            assert!(error.is_missing());
            let text = error.to_string();
            for part in [file, variable, "COUNTERSIGN_KEYS_DIR", "countersign keys init"] {
                assert!(text.contains(part), "{text}");
            }
        }
        assert!(if_any(none.auth_keys()).unwrap().is_none());
    }

    #[test]
    fn texts_are_keys_and_errors_name_their_variable() {
        let audit = checkpoint::generate().unwrap();
        let set = config(&[
            ("COUNTERSIGN_VAULT_PRIVATE_KEYS", old_key()),
            ("COUNTERSIGN_AUTH_KEYS", AUTH_KEY),
            ("COUNTERSIGN_AUDIT_KEY", audit.as_str()),
        ])
        .unwrap();
        assert_eq!(set.sealing_keys().unwrap().ids(), set.opening_keys().unwrap().ids());
        assert_eq!(set.auth_keys().unwrap().ids(), ["9001147c74853ee2"]);
        assert_eq!(&set.checkpoint_public_key().unwrap(), set.checkpoint_key().unwrap().public());

        let public = set.opening_keys().unwrap().public_pem();
        let checked = set.checkpoint_public_key().unwrap().to_string();
        let api =
            config(&[("COUNTERSIGN_VAULT_PUBLIC_KEYS", &public), ("COUNTERSIGN_AUDIT_PUBLIC_KEY", &checked)])
                .unwrap();
        assert_eq!(api.sealing_keys().unwrap().ids(), set.opening_keys().unwrap().ids());
        assert!(if_any(api.opening_keys()).unwrap().is_none());
        assert_eq!(api.checkpoint_public_key().unwrap().to_string(), checked);

        let wrong = config(&[
            ("COUNTERSIGN_VAULT_PRIVATE_KEYS", "x"),
            ("COUNTERSIGN_VAULT_PUBLIC_KEYS", old_key()),
            ("COUNTERSIGN_AUTH_KEYS", "x"),
            ("COUNTERSIGN_AUDIT_KEY", "x"),
            ("COUNTERSIGN_AUDIT_PUBLIC_KEY", "x"),
        ])
        .unwrap();
        for (error, variable) in [
            (if_any(wrong.opening_keys()).unwrap_err(), "COUNTERSIGN_VAULT_PRIVATE_KEYS"),
            (wrong.sealing_keys().unwrap_err(), "COUNTERSIGN_VAULT_PUBLIC_KEYS"),
            (wrong.auth_keys().unwrap_err(), "COUNTERSIGN_AUTH_KEYS"),
            (wrong.checkpoint_key().unwrap_err(), "COUNTERSIGN_AUDIT_KEY"),
            (wrong.checkpoint_public_key().unwrap_err(), "COUNTERSIGN_AUDIT_PUBLIC_KEY"),
        ] {
            assert!(!error.is_missing() && error.to_string().starts_with(variable), "{error}");
        }
    }

    #[test]
    fn a_folder_and_a_text_contradict_each_other() {
        for kind in ALL {
            let error = config(&[("COUNTERSIGN_KEYS_DIR", "/keys"), (kind.variable, "x")]).unwrap_err();
            assert!(matches!(error, VaultError::Contradiction { variable } if variable == kind.variable));
        }
        let missing = config(&[("COUNTERSIGN_KEYS_DIR", "/nowhere/keys")]).unwrap();
        let error = missing.auth_keys().unwrap_err();
        assert!(error.is_missing() && error.to_string().contains("/nowhere/keys/auth.keys"), "{error}");
    }

    #[test]
    fn debug_hides_what_is_set() {
        let set =
            config(&[("COUNTERSIGN_AUTH_KEYS", AUTH_KEY), ("COUNTERSIGN_VAULT_PRIVATE_KEYS", old_key())]);
        let text = format!("{:?}", set.unwrap());
        assert!(!text.contains(AUTH_KEY) && !text.contains("BEGIN"), "{text}");
    }
}
