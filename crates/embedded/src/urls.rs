//! Addresses that sqlx and redis-rs understand, for sockets and for servers given from outside.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use url::Url;

/// The database superuser of a cluster made here, and the name by which callers ask for the
/// owner's login.
pub(crate) const SUPERUSER: &str = "postgres";

/// Address of a database behind a unix socket in `folder`; every part is percent-encoded.
pub(crate) fn postgres_socket(folder: &Path, user: &str, database: &str) -> String {
    // No TLS over a socket: saying so saves a round trip per connection.
    format!(
        "postgres://{}@{}/{}?sslmode=disable",
        encode(user.as_bytes()),
        encode(folder.as_os_str().as_bytes()),
        encode(database.as_bytes())
    )
}

/// A given address for another login. The owner (`postgres`) gets it as it is; anybody else gets
/// the same server and database without the owner's password, so that a login that does not exist
/// there fails instead of silently having the owner's rights.
pub(crate) fn given_postgres(given: &str, user: &str) -> String {
    if user == SUPERUSER {
        return given.to_owned();
    }
    let Ok(mut url) = Url::parse(given) else {
        // No client can use it either, and its own message is the better one.
        return given.to_owned();
    };
    let (credentials, rest): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(key, _)| matches!(key.as_str(), "user" | "password"));
    let named = credentials.iter().find(|(key, _)| key == "user");
    if url.username() == user || named.is_some_and(|(_, name)| name == user) {
        return given.to_owned();
    }
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    // An address without a host cannot carry a name in front of it.
    let in_front = url.set_username(&encode(user.as_bytes())).is_ok();
    if !in_front {
        url.query_pairs_mut().append_pair("user", user);
    } else if url.set_password(None).is_err() {
        tracing::debug!("an address with a user name and no place for a password");
    }
    url.into()
}

/// Address of a Redis behind the unix socket `socket`.
pub(crate) fn redis_socket(socket: &Path) -> String {
    let encoded: Vec<String> = socket.as_os_str().as_bytes().split(|b| *b == b'/').map(encode).collect();
    format!("redis+unix://{}", encoded.join("/"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use redis::IntoConnectionInfo;
    use sqlx::postgres::PgConnectOptions;

    #[test]
    fn the_clients_read_back_what_was_meant() {
        let folder = Path::new("/tmp/a b/ü%20/run");
        let url = postgres_socket(folder, "countersign app", "d/b");
        let options: PgConnectOptions = url.parse().unwrap();
        assert_eq!(options.get_socket().unwrap(), folder);
        assert_eq!(options.get_username(), "countersign app");
        assert_eq!(options.get_database(), Some("d/b"));

        let socket = folder.join("valkey.sock");
        let info = redis_socket(&socket).into_connection_info().unwrap();
        assert_eq!(info.addr().to_string(), socket.display().to_string());
    }

    #[test]
    fn another_login_does_not_inherit_the_owners_password() {
        let given = "postgres://owner:secret@db.example:5433/main?sslmode=require";
        assert_eq!(given_postgres(given, "postgres"), given);
        assert_eq!(given_postgres(given, "owner"), given);
        assert_eq!(given_postgres(given, "app"), "postgres://app@db.example:5433/main?sslmode=require");
        assert_eq!(
            given_postgres("postgres:///main?host=/run/pg&user=owner&password=x", "app"),
            "postgres:///main?host=%2Frun%2Fpg&user=app"
        );
    }
}
