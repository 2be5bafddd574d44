//! Holds the documents to what is there. The tests read `docs/requirements.md`, the README and every
//! page below `docs/`, and fail when one of them names something that does not exist, or when a crate
//! imports what `docs/ARCHITECTURE.md` says it must not.
//!
//! Refuses to judge whether a text is true: only that what it points at is there.

pub mod crates;
pub mod markdown;
pub mod references;

use std::path::{Path, PathBuf};

/// The folder that holds the workspace.
///
/// # Panics
/// Never: this crate lies two folders below it.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).unwrap_or(here).to_path_buf()
}

/// All files below `folder` whose name ends in `.<extension>`, in order; build output is left out.
#[must_use]
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
