//! What a scenario plays on: its turn, its database, its receiver.

use domain::OrgId;
use testkit::{OwnServers, TestDb};
use tokio::sync::{Mutex, MutexGuard};

use crate::figures::Form;
use crate::processes::Fleet;
use crate::receiver::Receiver;

/// Two scenarios at once would measure each other.
static TURN: Mutex<()> = Mutex::const_new(());

/// A migrated database with one organisation, a receiver of webhooks, and a way to start processes.
pub(crate) struct Stage {
    pub(crate) form: Form,
    pub(crate) fleet: Fleet,
    pub(crate) receiver: Receiver,
    pub(crate) db: TestDb,
    pub(crate) org: OrgId,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// On the servers all tests share.
    pub(crate) async fn shared() -> Self {
        let turn = TURN.lock().await;
        Self::set(TestDb::new().await, turn).await
    }

    /// On servers of the scenario's own, which it may hurt.
    pub(crate) async fn own() -> (OwnServers, Self) {
        let turn = TURN.lock().await;
        let servers = OwnServers::start().await;
        let db = TestDb::on(&servers).await;
        (servers, Self::set(db, turn).await)
    }

    async fn set(db: TestDb, turn: MutexGuard<'static, ()>) -> Self {
        // What clients of Redis and HTTP find when they look for TLS; a second scenario finds it there.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let org = db.org("chaos").await;
        let receiver = Receiver::start().await;
        let fleet = Fleet::new(&db, receiver.address());
        Self { form: Form::asked(), fleet, receiver, db, org, _turn: turn }
    }
}
