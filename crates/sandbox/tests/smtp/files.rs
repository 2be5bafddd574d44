//! Mails as files.

use std::os::unix::fs::PermissionsExt as _;

use sandbox::smtp::{CatcherError, MailCatcher};

use crate::{Hand, LOOPBACK};

const MAIL: &str = "Subject: x\r\n\r\n..x\r\n.\r\n";

#[tokio::test]
async fn each_mail_is_a_file_of_its_own_that_only_its_owner_reads() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("a/mail");
    let catcher = MailCatcher::start(LOOPBACK, Some(folder.clone())).await.unwrap();
    let mut hand = Hand::ready(&catcher).await;
    for _ in 0..3 {
        assert_eq!(hand.mail("../b/c@example.com", MAIL).await, 250);
    }
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 3);
    for file in files {
        let name = file.file_name().into_string().unwrap();
        assert!(name.contains("Z-.._b_c@example.com") && name.ends_with(".eml"), "{name}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"Subject: x\r\n\r\n.x\r\n");
    }
}

#[tokio::test]
async fn a_mail_that_cant_be_written_is_not_taken() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("mail");
    let catcher = MailCatcher::start(LOOPBACK, Some(folder.clone())).await.unwrap();
    std::fs::remove_dir(&folder).unwrap();
    let mut hand = Hand::ready(&catcher).await;
    assert_eq!(hand.mail("b@example.com", MAIL).await, 451);
    assert!(catcher.mails().is_empty());

    let file = scratch.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = MailCatcher::start(LOOPBACK, Some(file)).await.unwrap_err();
    assert!(matches!(error, CatcherError::Folder { .. }), "{error}");
}
