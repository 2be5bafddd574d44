//! What a caller can choose. It reads no environment: the caller passes what it read.

use std::fmt;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;

/// Receives one short line at a time.
pub type OnProgress = Arc<dyn Fn(&str) + Send + Sync>;

/// How to start the servers.
#[derive(Clone)]
pub struct Options {
    /// Folder for everything the servers write. Made when missing; one launcher at a time.
    pub data_dir: PathBuf,
    /// `false`: what the servers wrote is removed by [`Servers::stop`](crate::Servers::stop).
    pub keep_data: bool,
    /// A PostgreSQL that already runs (`DATABASE_URL`): then none is started.
    pub postgres: Option<String>,
    /// A Redis that already runs (`REDIS_URL`): then none is started.
    pub redis: Option<String>,
    /// Further PostgreSQL settings as `(name, value)`; they win over the built-in ones.
    pub tuning: Vec<(String, String)>,
    /// Called with a short line for everything that takes noticeable time.
    pub on_progress: Option<OnProgress>,
}

impl Options {
    /// Servers that keep their data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            keep_data: true,
            postgres: None,
            redis: None,
            tuning: Vec::new(),
            on_progress: None,
        }
    }

    /// Servers in a new folder under the system's temporary folder, removed on stop. For tests:
    /// unlike a plain temporary folder it also works when the launcher is root.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn temporary() -> Result<Self, Error> {
        let base = std::env::temp_dir();
        // The servers of a root launcher run as somebody else, who has to pass through.
        let root = nix::unistd::Uid::effective().is_root();
        let mode = if root { 0o711 } else { 0o700 };
        let folder = tempfile::Builder::new()
            .prefix("countersign-data-")
            .permissions(Permissions::from_mode(mode))
            .tempdir_in(&base)
            .map_err(Error::io("create a folder in", &base))?;
        Ok(Self { keep_data: false, ..Self::new(folder.keep()) })
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress(self.on_progress.clone())
    }

    /// Setting names end up in the command line of the server, so they are checked first.
    pub(crate) fn check_tuning(&self) -> Result<(), Error> {
        let plain = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b))
        };
        match self.tuning.iter().find(|(name, _)| !plain(name)) {
            Some((name, _)) => Err(Error::Tuning { setting: name.clone() }),
            None => Ok(()),
        }
    }
}

impl Default for Options {
    /// Data kept in `.countersign/data` below the current folder.
    fn default() -> Self {
        Self::new(Path::new(".countersign").join("data"))
    }
}

impl fmt::Debug for Options {
    // The two addresses may carry passwords, so only their presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("data_dir", &self.data_dir)
            .field("keep_data", &self.keep_data)
            .field("postgres_given", &self.postgres.is_some())
            .field("redis_given", &self.redis.is_some())
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

/// Tells the caller what is going on, if it wants to know.
#[derive(Clone)]
pub(crate) struct Progress(Option<OnProgress>);

impl Progress {
    pub(crate) fn say(&self, line: &str) {
        tracing::info!("{line}");
        if let Some(tell) = &self.0 {
            tell(line);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn setting_names_are_checked() {
        let mut options = Options::new("/tmp/x");
        options.tuning = vec![("work_mem".into(), "8MB".into())];
        assert!(options.check_tuning().is_ok());
        for bad in ["", "a=b", "Work", "a b", "-c"] {
            options.tuning = vec![(bad.into(), String::new())];
            assert!(matches!(options.check_tuning(), Err(Error::Tuning { .. })), "{bad}");
        }
    }

    #[test]
    fn addresses_stay_out_of_debug_output() {
        let mut options = Options::new("/tmp/x");
        options.postgres = Some("postgres://u:secret@h/d".into());
        assert!(!format!("{options:?}").contains("secret"));
    }
}
