//! Everything that can go wrong with keys, each with a sentence that says what to do about it. None of them
//! carries a byte of a key or of a secret.

use std::io;
use std::path::{Path, PathBuf};

/// Why a key could not be had, or something could not be sealed, opened or signed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file or folder operation failed; the operating system's reason is the source.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write".
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The folder has no such file.
    #[error(
        "{} is not there, and it would hold {what}: run `countersign keys init` for new keys, or bring the \
         file back if there was one",
        path.display()
    )]
    NoFile {
        /// The file that was looked for.
        path: PathBuf,
        /// What it would hold.
        what: &'static str,
    },
    /// No setting says where the keys are.
    #[error(
        "this needs {what}: set COUNTERSIGN_KEYS_DIR to a folder with {file} in it (`countersign keys init` \
         makes one), or {variable} to the text of that file"
    )]
    NotConfigured {
        /// What is needed.
        what: &'static str,
        /// The file that would hold it.
        file: &'static str,
        /// The variable that can hold it instead.
        variable: &'static str,
    },
    /// Two settings name the keys in two ways.
    #[error("both COUNTERSIGN_KEYS_DIR and {variable} are set; keep one of the two")]
    Contradiction {
        /// The other variable.
        variable: &'static str,
    },
    /// Other users of the machine can read a private key.
    #[error(
        "{path} holds private keys, and its mode {mode:04o} lets other users of this machine read it: run \
         `chmod 600 {path}`",
        path = path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Other users of the machine can put files into the folder for keys.
    #[error(
        "{path} has the mode {mode:04o}, so other users of this machine can put their own keys into it: run \
         `chmod 700 {path}`",
        path = path.display()
    )]
    FolderOpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A public file is there and the private one it was made from is not.
    #[error(
        "{public} is there but {private} is not: bring {private} back, for what was made with it can't be \
         opened or continued without it; or move {public} away to start with a new key",
        public = public.display(),
        private = private.display()
    )]
    HalfThere {
        /// The file that is there.
        public: PathBuf,
        /// The file that is missing.
        private: PathBuf,
    },
    /// A public file does not belong to the private one beside it.
    #[error(
        "{public} does not name the same keys as {private}: remove {public} and run `countersign keys init`, \
         which writes it anew from {private}",
        public = public.display(),
        private = private.display()
    )]
    Mismatch {
        /// The public file.
        public: PathBuf,
        /// The private file.
        private: PathBuf,
    },
    /// A file's or variable's text is not what it should be.
    #[error("{place} can't be used: {problem}")]
    Format {
        /// The file's path or the variable's name, with the line where it is known.
        place: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// It was sealed or signed with a key that this ring does not have.
    #[error(
        "it was made with the key {key_id}, which is not among {what} here: put that key back, behind \
         the newest one"
    )]
    UnknownKey {
        /// Id of the key.
        key_id: String,
        /// Which ring was asked.
        what: &'static str,
    },
    /// The seal is broken: the bytes were changed, or the context, the purpose or the key is another one.
    #[error("it does not open: it was changed, or it was sealed for another place or with another key")]
    DoesNotOpen,
    /// The bytes are too short, or of a version that is not known here.
    #[error("it is not something that was sealed here: {0}")]
    NotSealed(&'static str),
    /// It opened, but it holds bytes where text was asked for.
    #[error("it opened, but holds bytes that are not text")]
    NotText,
    /// The caller gave an empty context or purpose, or too much to seal.
    #[error("{0}")]
    Argument(&'static str),
    /// Whoever keeps the private keys did not answer: may be tried again. Never from keys held here.
    #[error("the keeper of the private keys did not answer: {0}")]
    Away(String),
    /// The cryptography library could not do it: no randomness, or no memory.
    #[error("the cryptography library could not {0}")]
    Library(&'static str),
}

impl VaultError {
    /// For `map_err` on file operations.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn format(place: &str, problem: impl Into<String>) -> Self {
        Self::Format { place: place.to_owned(), problem: problem.into() }
    }

    /// Whether the keys are simply not there, rather than unusable.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoFile { .. } | Self::NotConfigured { .. })
    }
}
