//! Valkey: the arguments it runs with and seeing that it answers. It writes an append-only file
//! synced every second, and never evicts: what it holds can be rebuilt, but not be dropped at will.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::folders::Folders;
use crate::programs::ValkeyProgram;
use crate::spawner::{CommandLine, Launch};
use crate::supervisor::{Probe, Service};

pub(crate) const NAME: &str = "Valkey";

const STOP: [(Signal, Duration); 1] = [(Signal::SIGTERM, Duration::from_secs(10))];

/// The server on its folder.
pub(crate) fn service(folders: &Folders, program: &ValkeyProgram) -> Service {
    let socket = folders.valkey_socket();
    let folder = folders.valkey();
    let mut arguments =
        vec!["--unixsocket".into(), socket.clone().into_os_string(), "--dir".into(), folder.into_os_string()];
    for (name, value) in [
        ("--port", "0"),
        // The folder around it decides who may connect.
        ("--unixsocketperm", "777"),
        ("--appendonly", "yes"),
        ("--appendfsync", "everysec"),
        ("--maxmemory-policy", "noeviction"),
        ("--save", ""),
        ("--daemonize", "no"),
        // The command line then keeps naming the folder, by which leftovers are known.
        ("--set-proc-title", "no"),
    ] {
        arguments.extend([name.into(), value.into()]);
    }
    Service {
        title: format!("{NAME} {}", program.version),
        name: NAME,
        launch: Arc::new(Launch {
            line: CommandLine {
                program: program.server.clone(),
                arguments,
                account: folders.account.clone(),
            },
            log: folders.log("valkey"),
            on_launcher_death: Signal::SIGTERM,
        }),
        probe: Probe::Ping(socket),
        stop: &STOP,
        pid_file: Some(folders.valkey_pid()),
    }
}

/// Sends `PING`. While it loads its file it answers, but not with `PONG`.
pub(crate) async fn is_ready(socket: &Path) -> bool {
    let ping = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG")
    };
    matches!(timeout(Duration::from_secs(1), ping).await, Ok(Ok(true)))
}
