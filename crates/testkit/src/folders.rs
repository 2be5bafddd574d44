//! Where private servers keep their data: one folder a process, removed by the next process when its
//! owner is gone, because a test process has no moment at which it could clean up after itself.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "countersign-testkit-";

/// A new folder under the system's temporary folder. Whoever runs the servers has to pass through it.
pub(crate) fn make() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = std::env::temp_dir();
    remove_abandoned(&base);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = base.join(format!("{PREFIX}{}-{serial}", std::process::id()));
    DirBuilder::new().mode(0o711).create(&folder).expect("make a folder for the servers' data");
    std::fs::set_permissions(&folder, Permissions::from_mode(0o711))
        .expect("open that folder to the servers");
    folder
}

fn remove_abandoned(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if let Some(pid) = owner.and_then(|pid| pid.parse::<u32>().ok())
            && !Path::new("/proc").join(pid.to_string()).exists()
            && Path::new("/proc/self").exists()
        {
            // Another process may be removing it, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
