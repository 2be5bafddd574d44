//! Asks the kernel to end a child when its launcher dies, even by SIGKILL (Linux only; elsewhere
//! the next start ends what was left, see `leftovers`). The only unsafe code of this crate.

use std::process::Command;

use nix::sys::signal::Signal;

/// Makes the child receive `signal` when the *thread* that spawned it ends. Spawn from a thread
/// that lives as long as the child should: `spawner` has one.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) fn follow(command: &mut Command, signal: Signal) {
    use std::os::unix::process::CommandExt;

    let launcher = nix::unistd::getpid();
    let arrange = move || {
        nix::sys::prctl::set_pdeathsig(signal).map_err(std::io::Error::from)?;
        // The launcher may have died before the line above took effect.
        if nix::unistd::getppid() != launcher {
            return Err(std::io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe
    // calls are allowed. It makes two plain system calls, prctl and getppid, and touches no lock
    // and no heap: `from_raw_os_error` and the errno conversion store an integer.
    // The standard library runs it after it has changed uid and gid, which matters, because that
    // change would clear the signal.
    unsafe {
        command.pre_exec(arrange);
    }
}

/// There is no such signal here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn follow(_command: &mut Command, _signal: Signal) {}
