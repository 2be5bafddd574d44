//! The five things that a folder or the environment can hold, and what they are called.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// For people, in the plural.
    pub(crate) what: &'static str,
    /// The file's name.
    pub(crate) file: &'static str,
    /// The variable that can hold the file's text.
    pub(crate) variable: &'static str,
    /// Whether nobody else may read it.
    pub(crate) private: bool,
}

pub(crate) const VAULT: Kind = Kind {
    what: "the private keys that open provider credentials",
    file: "vault.pem",
    variable: "COUNTERSIGN_VAULT_PRIVATE_KEYS",
    private: true,
};

pub(crate) const VAULT_PUBLIC: Kind = Kind {
    what: "the public keys that seal provider credentials",
    file: "vault.pub.pem",
    variable: "COUNTERSIGN_VAULT_PUBLIC_KEYS",
    private: false,
};

pub(crate) const AUTH: Kind = Kind {
    what: "the keys for sessions, tokens and the API's own secrets",
    file: "auth.keys",
    variable: "COUNTERSIGN_AUTH_KEYS",
    private: true,
};

pub(crate) const AUDIT: Kind = Kind {
    what: "the key that signs audit checkpoints",
    file: "audit.pem",
    variable: "COUNTERSIGN_AUDIT_KEY",
    private: true,
};

pub(crate) const AUDIT_PUBLIC: Kind = Kind {
    what: "the public key that audit checkpoints are checked with",
    file: "audit.pub",
    variable: "COUNTERSIGN_AUDIT_PUBLIC_KEY",
    private: false,
};

/// All of them.
pub(crate) const ALL: [Kind; 5] = [VAULT, VAULT_PUBLIC, AUTH, AUDIT, AUDIT_PUBLIC];
