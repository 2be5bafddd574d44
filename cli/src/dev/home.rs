//! The folder `.countersign`: what one `make up` leaves for the next, and how other commands find a
//! running one. The lock is the kernel's, so it ends with its holder, however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

const FOLDER: &str = ".countersign";
const LOCK: &str = "dev.lock";

/// A `make up` that runs now. Its file is readable by its user only: addresses may hold passwords.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RunningHere {
    /// The launcher.
    pub(crate) pid: u32,
    /// Owner's login.
    pub(crate) database_url: String,
    /// Redis.
    pub(crate) redis_url: String,
    /// The API's base URL.
    pub(crate) api: String,
    /// The organisation to act in.
    pub(crate) org: String,
    /// The platform's webhook keys, newest first.
    pub(crate) webhook_keys: Vec<String>,
    /// The folder with its keys; none when they were named by the environment.
    #[serde(default)]
    pub(crate) keys_dir: Option<String>,
}

/// The folder of this directory.
pub(crate) struct Home {
    base: PathBuf,
    folder: PathBuf,
}

impl Home {
    /// The folder of the current directory, made when missing.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let base = std::env::current_dir().context("the current directory can't be found")?;
        let folder = base.join(FOLDER);
        fs::create_dir_all(folder.join("log")).with_context(|| format!("can't make {}", folder.display()))?;
        Ok(Self { base, folder })
    }

    /// The servers' data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The demo's API token.
    pub(crate) fn token(&self) -> PathBuf {
        self.folder.join("demo-token")
    }

    /// The demo's people and their password.
    pub(crate) fn people(&self) -> PathBuf {
        self.folder.join("demo-people")
    }

    /// The keys of this machine's processes.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Mail that was caught.
    pub(crate) fn mail(&self) -> PathBuf {
        self.folder.join("mail")
    }

    /// What the demo's receiver remembers.
    pub(crate) fn receiver(&self) -> PathBuf {
        self.folder.join("demo-receiver")
    }

    /// The children's logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The directory the folder is in.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// A path of this folder as it is typed here.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).display().to_string()
    }

    /// Makes this process the one launcher here.
    pub(crate) fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.folder.join(LOCK);
        let file = private(OpenOptions::new().read(true).write(true).create(true), &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{}", already(&path)?),
            Err(TryLockError::Error(error)) => {
                return Err(error).context(format!("can't lock {}", path.display()));
            }
        }
        let mut lock = Lock { file };
        lock.forget();
        Ok(lock)
    }

    /// The `make up` that runs in this directory or the nearest one above it that has one.
    pub(crate) fn running_here() -> anyhow::Result<Option<RunningHere>> {
        let here = std::env::current_dir().context("the current directory can't be found")?;
        for folder in here.ancestors() {
            let path = folder.join(FOLDER).join(LOCK);
            let Ok(mut file) = File::open(&path) else { continue };
            if !is_held(&file, &path)? {
                continue;
            }
            return match read(&mut file) {
                Some(running) => Ok(Some(running)),
                None => bail!("`make up` is still starting in {}; try again in a moment", folder.display()),
            };
        }
        Ok(None)
    }

    /// Reads a small private file; none when there is none.
    pub(crate) fn read_private(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Writes a small file that only this user may read.
    pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
        // A file that is there keeps its mode, which may be too open: start afresh.
        let _ = fs::remove_file(path);
        let mut file = private(OpenOptions::new().write(true).create_new(true), path)?;
        writeln!(file, "{text}").with_context(|| format!("can't write {}", path.display()))
    }
}

fn private(options: &mut OpenOptions, path: &Path) -> anyhow::Result<File> {
    options.mode(0o600).open(path).with_context(|| format!("can't open {}", path.display()))
}

fn is_held(file: &File, path: &Path) -> anyhow::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context(format!("can't look at {}", path.display())),
    }
}

fn read(file: &mut File) -> Option<RunningHere> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// What to tell somebody who starts a second one.
fn already(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(match read(&mut file) {
        Some(running) => format!(
            "`make up` runs here already as process {}: {}/; press Ctrl-C in its terminal to stop it",
            running.pid, running.api
        ),
        None => "`make up` is starting here already, in another terminal".into(),
    })
}

/// Held while this process is the launcher here.
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Tells others where everything is.
    pub(crate) fn note(&mut self, running: &RunningHere) -> anyhow::Result<()> {
        let text = serde_json::to_string(running)?;
        self.forget();
        self.file.write_all(text.as_bytes()).context("can't note where the servers are")
    }

    /// Nothing runs any more.
    pub(crate) fn forget(&mut self) {
        // Onlookers find half a file at worst, which they take for "still starting".
        let _ = self.file.set_len(0);
        let _ = self.file.rewind();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn private_files_are_private_even_when_they_were_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Home::write_private(&path, "new").unwrap();
        assert_eq!(Home::read_private(&path).as_deref(), Some("new"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
