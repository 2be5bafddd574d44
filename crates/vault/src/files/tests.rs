#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures::executor::block_on;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::fixtures::old_key;
use crate::{KeyConfig, checkpoint, open};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with the private key that the tests share, so that `init` need not make one.
fn prepared() -> TempDir {
    let dir = folder();
    put(dir.path(), "vault.pem", old_key(), 0o600);
    dir
}

fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>, mode: u32) {
    fs::write(dir.join(name), text).unwrap();
    chmod(&dir.join(name), mode);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file with its content.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn init_makes_what_is_missing_closed_to_others_and_writes_over_nothing() {
    let base = folder();
    let dir = base.path().join("etc/keys");
    let made = init(&dir).unwrap();
    let names: Vec<_> = made.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["vault.pem", "vault.pub.pem", "auth.keys", "audit.pem", "audit.pub"]);
    assert_eq!(mode(&dir), 0o700);
    for (name, wanted) in [
        ("vault.pem", 0o600),
        ("vault.pub.pem", 0o644),
        ("auth.keys", 0o600),
        ("audit.pem", 0o600),
        ("audit.pub", 0o644),
    ] {
        assert_eq!(mode(&dir.join(name)), wanted, "{name}");
    }
    let first = content(&dir);
    assert_eq!(first.len(), 5, "nothing else is left lying there: {:?}", first.keys());
    assert_eq!(init(&dir).unwrap(), Vec::<std::path::PathBuf>::new());
    assert_eq!(content(&dir), first);

    // What a folder says, the settings say too.
    let keys = KeyConfig::from_dir(&dir);
    assert_eq!(keys.opening_keys().unwrap().ids(), keys.sealing_keys().unwrap().ids());
    assert_eq!(keys.auth_keys().unwrap().ids().len(), 1);
    assert_eq!(&keys.checkpoint_public_key().unwrap(), keys.checkpoint_key().unwrap().public());

    // A file that went missing comes back alone.
    fs::remove_file(dir.join("vault.pub.pem")).unwrap();
    assert_eq!(init(&dir).unwrap(), [dir.join("vault.pub.pem")]);
    assert_eq!(content(&dir), first);
}

#[test]
fn a_new_key_goes_first_and_the_old_ones_stay() {
    let dir = prepared();
    let dir = dir.path();
    init(dir).unwrap();
    let sealed = sealing_keys(dir).unwrap().seal(&"kept".into(), b"here").unwrap();
    let blob = auth_keys(dir).unwrap().seal("totp", b"seed", b"here").unwrap();
    let comments = "# ours\n  # newest first\n";
    let old_line = fs::read_to_string(dir.join("auth.keys")).unwrap().lines().nth(1).unwrap().to_owned();
    put(dir, "auth.keys", format!("{comments}{old_line}\n# since spring\n"), 0o600);

    let vault_id = add_vault_key(dir).unwrap();
    let auth_id = add_auth_key(dir).unwrap();
    let (opening, sealing, auth) =
        (opening_keys(dir).unwrap(), sealing_keys(dir).unwrap(), auth_keys(dir).unwrap());
    assert_eq!(opening.ids(), [&vault_id, &sealed.key_id]);
    assert_eq!(sealing.ids(), opening.ids());
    assert_eq!(sealing.seal(&"x".into(), b"here").unwrap().key_id, vault_id);
    assert_eq!(block_on(open(&opening, &sealed, b"here")).unwrap().expose_secret(), "kept");
    assert_eq!((auth.ids().len(), auth.ids()[0]), (2, auth_id.as_str()));
    assert_eq!(auth.open("totp", &blob, b"here").unwrap().expose_secret(), b"seed");
    let lines = fs::read_to_string(dir.join("auth.keys")).unwrap();
    assert!(lines.starts_with(comments) && lines.ends_with(&format!("\n{old_line}\n# since spring\n")));
    assert_eq!((mode(&dir.join("vault.pem")), mode(&dir.join("vault.pub.pem"))), (0o600, 0o644));
    assert_eq!(mode(&dir.join("auth.keys")), 0o600);
    assert_eq!(content(dir).len(), 5, "nothing else is left lying there");
    assert!(init(dir).unwrap().is_empty());
}

#[test]
fn keys_added_at_the_same_moment_are_all_kept() {
    let dir = prepared();
    let dir = dir.path();
    init(dir).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| add_auth_key(dir).unwrap());
        }
    });
    assert_eq!(auth_keys(dir).unwrap().ids().len(), 9);
}

#[test]
fn private_files_that_others_may_read_are_refused() {
    let dir = prepared();
    let dir = dir.path();
    init(dir).unwrap();
    for (name, read) in [
        ("vault.pem", (|dir| opening_keys(dir).map(drop)) as fn(&Path) -> Result<(), VaultError>),
        ("auth.keys", |dir| auth_keys(dir).map(drop)),
        ("audit.pem", |dir| checkpoint_key(dir).map(drop)),
    ] {
        let path = dir.join(name);
        for open in [0o640, 0o604, 0o620, 0o601, 0o644] {
            chmod(&path, open);
            let error = read(dir).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(error.contains(&format!("{open:04o}")), "{error}");
        }
        chmod(&path, 0o400);
        read(dir).unwrap();
        chmod(&path, 0o600);
    }
    for name in ["vault.pub.pem", "audit.pub"] {
        chmod(&dir.join(name), 0o444);
    }
    assert!(sealing_keys(dir).is_ok() && checkpoint_public_key(dir).is_ok());
    assert!(matches!(add_vault_key(&dir.join("none")), Err(VaultError::NoFile { .. })));
    chmod(&dir.join("auth.keys"), 0o644);
    assert!(matches!(add_auth_key(dir), Err(VaultError::OpenToOthers { .. })));
}

#[test]
fn half_a_pair_or_a_strange_one_is_refused_and_left_alone() {
    let dir = prepared();
    let dir = dir.path();
    init(dir).unwrap();
    for (private, public) in [("vault.pem", "vault.pub.pem"), ("audit.pem", "audit.pub")] {
        let kept = fs::read(dir.join(private)).unwrap();
        fs::remove_file(dir.join(private)).unwrap();
        let before = content(dir);
        let error = init(dir).unwrap_err();
        assert!(
            matches!(&error, VaultError::HalfThere { .. }) && error.to_string().contains(public),
            "{error}"
        );
        assert_eq!(content(dir), before);
        put(dir, private, kept, 0o600);
    }
    put(dir, "audit.pem", checkpoint::generate().unwrap().as_bytes(), 0o600);
    let error = init(dir).unwrap_err();
    assert!(matches!(error, VaultError::Mismatch { .. }) && error.to_string().contains("remove "), "{error}");
    fs::remove_file(dir.join("audit.pub")).unwrap();
    assert_eq!(init(dir).unwrap(), [dir.join("audit.pub")]);
}

#[test]
fn files_with_something_else_in_them_are_named() {
    let dir = prepared();
    let dir = dir.path();
    put(dir, "auth.keys", [0xff, 0xfe], 0o600);
    let error = auth_keys(dir).unwrap_err().to_string();
    assert!(error.contains("auth.keys can't be used: it is not text"), "{error}");
    put(dir, "auth.keys", vec![b'#'; 1024 * 1024 + 1], 0o600);
    assert!(auth_keys(dir).unwrap_err().to_string().contains("too large"));
    put(dir, "auth.keys", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nx", 0o600);
    let error = init(dir).unwrap_err().to_string();
    assert!(error.contains("auth.keys, line 2"), "{error}");
    fs::create_dir(dir.join("audit.pub")).unwrap();
    assert!(checkpoint_public_key(dir).unwrap_err().to_string().contains("not a file"));
    let missing = checkpoint_key(dir).unwrap_err();
    assert!(missing.is_missing() && missing.to_string().contains("countersign keys init"), "{missing}");
    // A link that leads nowhere is not a file that is missing.
    fs::remove_file(dir.join("auth.keys")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("auth.keys")).unwrap();
    assert!(init(dir).is_err());
    assert!(fs::symlink_metadata(dir.join("auth.keys")).unwrap().is_symlink());
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let dir = folder();
    for open in [0o770, 0o707, 0o720] {
        chmod(dir.path(), open);
        let error = init(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 700 {}", dir.path().display())), "{error}");
    }
    assert!(content(dir.path()).is_empty());
}
