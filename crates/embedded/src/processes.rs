//! What the operating system says about a process: is it alive, which program is it, does it
//! belong to a folder. Linux answers from `/proc`, other systems through `ps`.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal; a process that is already gone is fine.
pub(crate) fn send(pid: u32, signal: Signal) {
    let Ok(raw) = i32::try_from(pid) else { return };
    match kill(Pid::from_raw(raw), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(e) => tracing::warn!(pid, %signal, error = %e, "could not signal a process"),
    }
}

/// Whether a process with this id exists (another user's counts, a zombie may count).
pub(crate) fn exists(pid: u32) -> bool {
    i32::try_from(pid)
        .is_ok_and(|raw| raw > 0 && !matches!(kill(Pid::from_raw(raw), None), Err(Errno::ESRCH)))
}

/// Whether a live process runs one of `programs` and works on `folder`: it was started there or
/// names it among its arguments. The check that keeps a reused process id from being taken for
/// a leftover of ours.
#[cfg(target_os = "linux")]
pub(crate) fn works_on(pid: u32, programs: &[&str], folder: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let proc = Path::new("/proc").join(pid.to_string());
    let read = |name: &str| std::fs::read(proc.join(name)).unwrap_or_default();
    let stat = read("stat");
    // "<pid> (<name>) <state> …", and the name may hold anything.
    let state = stat.iter().rposition(|b| *b == b')').and_then(|at| stat.get(at + 2));
    if matches!(state, None | Some(b'Z' | b'X')) {
        return false;
    }
    let command = read("cmdline");
    let first = command.split(|b| *b == 0).next().unwrap_or_default();
    // The links are closed to root without ptrace rights, as in a container; the command line
    // is open to all.
    let name = std::fs::read_link(proc.join("exe"))
        .ok()
        .and_then(|exe| exe.file_name().map(|n| n.as_bytes().to_vec()))
        .unwrap_or_else(|| first.rsplit(|b| *b == b'/').next().unwrap_or(first).to_vec());
    // An executable that was replaced meanwhile reads "postgres (deleted)".
    let name = name.split(|b| *b == b' ').next().unwrap_or_default();
    let known = programs.iter().any(|p| p.as_bytes() == name);
    let started_there = std::fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd == folder);
    let names_it = command.split(|b| *b == 0).any(|argument| argument == folder.as_os_str().as_bytes());
    known && (started_there || names_it)
}

/// The same through `ps`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn works_on(pid: u32, programs: &[&str], folder: &Path) -> bool {
    let Ok(output) = std::process::Command::new("ps")
        .args(["-ww", "-o", "state=,command=", "-p", &pid.to_string()])
        .output()
    else {
        return false;
    };
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Some((state, command)) = line.split_once(' ') else {
        return false;
    };
    // The program's path may hold spaces, so look for its name before the first option.
    let program = command.split(" -").next().unwrap_or(command).trim();
    let name = program.rsplit('/').next().unwrap_or(program);
    !state.starts_with('Z') && programs.contains(&name) && command.contains(&folder.display().to_string())
}

/// Every process that [`works_on`] the folder; on systems without `/proc` none is found this way.
pub(crate) fn all_on(programs: &[&str], folder: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| works_on(*pid, programs, folder))
        .collect()
}
