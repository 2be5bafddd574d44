//! Invitations and password resets by mail: a real worker, a real SMTP conversation, a mailbox that is read.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use domain::mail::{Mail, MailFault, MailReceipt, Mailer};
use domain::ports::PortFuture;
use domain::{InvitationId, OrgId, Role, SystemClock};
use jobs::people::{SendInvitation, SendPasswordReset};
use jobs::{Ports, Registry, new_job};
use providers::smtp::{SmtpClient, SmtpConfig};
use queue::{NewJob, Queue};
use sandbox::smtp::{CaughtMail, MailCatcher};
use secrecy::SecretString;
use store::accounts::{self, NewAccount, resets};
use store::people::invitations::{self, Entrant, Joined, NewInvitation, NotAccepted};
use store::people::joining;
use store::{Origin, Store, Tx, Workspaces};
use testkit::{TestDb, eventually, worker};
use tokio::sync::Notify;
use uuid::Uuid;
use workers::{Crew, MailPort, Runner};

use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(20);

struct Post {
    db: TestDb,
    queue: Queue,
    store: Store,
    org: OrgId,
    catcher: MailCatcher,
}

impl Post {
    async fn open() -> Self {
        let db = TestDb::new().await;
        let org = db.org("acme").await;
        let catcher = MailCatcher::start("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        Self { queue: db.queue().await, store: db.store(), org, catcher, db }
    }

    fn client(&self) -> SmtpClient {
        let config = SmtpConfig::new(&self.catcher.url(), "Countersign <no-reply@example.com>").unwrap();
        SmtpClient::new(config).unwrap()
    }

    async fn worker(&self) -> Crew {
        crew(&self.queue, self.store.clone(), Arc::new(MailPort::new(Some(self.client())))).await
    }

    /// An invitation whose job was enqueued with it.
    async fn invite(&self, email: &str, locale: &str) -> InvitationId {
        let invitation_id = InvitationId::new();
        let job = new_job(self.org, &SendInvitation { invitation_id }).unwrap();
        let new = NewInvitation {
            invitation_id,
            email,
            role: Role::Support,
            workspaces: Workspaces::All,
            locale,
            job_id: job.job_id,
        };
        let mut tx = Tx::system(&self.store, self.org, "test").await.unwrap();
        invitations::create(&mut tx, &new, Utc::now()).await.unwrap();
        self.commit(tx, job).await;
        invitation_id
    }

    /// A person who asked for a new password; the reset's id.
    async fn forget_password(&self, email: &str) -> Uuid {
        let mut tx = Tx::system(&self.store, self.org, "test").await.unwrap();
        let new = NewAccount { email, name: "Ann <b>Ames</b>", locale: "ar", password_hash: Some("$x") };
        accounts::create(&mut tx, &new, Utc::now()).await.unwrap();
        let account = accounts::get(&mut tx).await.unwrap();
        joining::join(&mut tx, &account, Role::Owner, &Workspaces::All, "test").await.unwrap();
        let reset_id = resets::request(&mut tx, account.account_id, None, Utc::now()).await.unwrap();
        let job = new_job(self.org, &SendPasswordReset { reset_id }).unwrap();
        self.commit(tx, job).await;
        reset_id
    }

    async fn commit(&self, mut tx: Tx, job: NewJob) {
        self.queue.enqueue_in(tx.conn(), std::slice::from_ref(&job)).await.unwrap();
        tx.commit().await.unwrap();
        self.queue.announce(&[job]);
    }

    async fn mail_to(&self, to: &str) -> Arc<CaughtMail> {
        self.catcher.mail_to(to, PATIENCE).await.unwrap_or_else(|| panic!("no mail to {to}"))
    }

    async fn accept(&self, token: &SecretString) -> Result<Joined, NotAccepted> {
        let entrant = Entrant::New { name: "Ann Ames", password_hash: "$y" };
        let hash = invitations::hash(token);
        invitations::accept(&self.store, &hash, entrant, &Origin::default(), Utc::now()).await
    }

    async fn outcome(&self, kind: &str) -> (String, Option<String>) {
        let pool = self.db.superuser();
        let sql = "SELECT state::text, error_code FROM job_history WHERE kind = $1";
        let end = || sqlx::query_as(sql).bind(kind).fetch_optional(pool);
        eventually(PATIENCE, || async {
            end().await.unwrap().is_some_and(|_: (String, Option<String>)| true)
        })
        .await;
        end().await.unwrap().unwrap()
    }

    /// Everything that is kept, as text: no link may be in it.
    async fn nothing_kept_holds(&self, token: &str) {
        for table in
            ["job", "job_history", "job_attempt", "job_event", "invitation", "password_reset", "audit_entry"]
        {
            let sql = format!("SELECT count(*) FROM {table} t WHERE strpos(t::text, $1) > 0");
            let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(token)
                .fetch_one(self.db.superuser())
                .await
                .unwrap();
            assert_eq!(found, 0, "{table} holds a link's token");
        }
    }
}

async fn crew(queue: &Queue, store: Store, mailer: Arc<dyn Mailer>) -> Crew {
    let registry = Arc::new(Registry::standard().unwrap());
    let ports = Ports { mailer, clock: Arc::new(SystemClock), ..Stage::new().ports() };
    let runner = Arc::new(Runner::new(registry.clone(), Arc::new(ports), store, queue));
    Crew::start(queue.clone(), registry, runner, worker::slots(2)).await.unwrap()
}

/// The token of the mail's one link to this page; the same in text and HTML.
fn token(mail: &CaughtMail, page: &str) -> SecretString {
    let start = format!("https://app.example.com/{page}#token=");
    let (_, rest) = mail.text.split_once(&start).unwrap_or_else(|| panic!("{}", mail.text));
    let token: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    assert!(mail.html.contains(&format!("{start}{token}")), "{}", mail.html);
    assert_eq!(token.len(), 43);
    token.into()
}

fn exposed(token: &SecretString) -> &str {
    secrecy::ExposeSecret::expose_secret(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_arrives_and_its_link_works_once() {
    let post = Post::open().await;
    let crew = post.worker().await;
    post.invite("ann@example.com", "es").await;
    let mail = post.mail_to("ann@example.com").await;
    assert_eq!(mail.subject, "Invitación a acme");
    let token = token(&mail, "invitation");
    assert_eq!(post.outcome("people.send_invitation").await, ("succeeded".to_owned(), None));
    post.accept(&token).await.unwrap();
    let again = post.accept(&token).await.unwrap_err();
    assert!(again.to_string().contains("accepted already; sign in"), "{again}");
    post.nothing_kept_holds(exposed(&token)).await;
    crew.leave(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_arrives_and_its_link_works_once() {
    let post = Post::open().await;
    let crew = post.worker().await;
    post.forget_password("ann@example.com").await;
    let mail = post.mail_to("ann@example.com").await;
    assert_eq!(mail.subject, "تعيين كلمة مرور جديدة");
    assert!(
        mail.html.contains("&lt;b&gt;Ames&lt;&#x2f;b&gt;") && mail.html.contains(r#"dir="rtl""#),
        "{}",
        mail.html
    );
    let token = token(&mail, "reset");
    let reset = resets::look_up(&post.store, &resets::hash(exposed(&token)).unwrap()).await.unwrap().unwrap();
    assert!(reset.works(Utc::now()));
    for once in [true, false] {
        let mut tx = Tx::system(&post.store, reset.org_id, "test").await.unwrap();
        assert_eq!(resets::take(&mut tx, &reset, Utc::now()).await.unwrap(), once);
        tx.commit().await.unwrap();
    }
    post.nothing_kept_holds(exposed(&token)).await;
    crew.leave(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_mailed_and_a_strangers_job_mails_nothing() {
    let post = Post::open().await;
    let withdrawn = post.invite("ann@example.com", "en").await;
    let mut tx = Tx::system(&post.store, post.org, "test").await.unwrap();
    invitations::revoke(&mut tx, withdrawn, Utc::now()).await.unwrap();
    tx.commit().await.unwrap();
    let crew = post.worker().await;
    assert_eq!(post.outcome("people.send_invitation").await.0, "succeeded");

    let open = post.invite("bob@example.com", "en").await;
    post.mail_to("bob@example.com").await;
    // As anybody could who may enqueue jobs.
    post.queue.enqueue(new_job(post.org, &SendInvitation { invitation_id: open }).unwrap()).await.unwrap();
    let missing = SendPasswordReset { reset_id: Uuid::now_v7() };
    post.queue.enqueue(new_job(post.org, &missing).unwrap()).await.unwrap();
    assert_eq!(post.outcome("people.send_password_reset").await.0, "succeeded");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(post.catcher.mails().len(), 1, "one mail left");
    crew.leave(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_is_a_dead_letter_and_so_is_a_missing_mail_server() {
    let post = Post::open().await;
    let crew = post.worker().await;
    post.invite("reject-550@example.com", "en").await;
    let (state, code) = post.outcome("people.send_invitation").await;
    assert_eq!((&*state, code.as_deref()), ("dead", Some("mail_refused")));
    crew.leave(Duration::from_secs(1)).await;

    let crew = self::crew(&post.queue, post.store.clone(), Arc::new(MailPort::new(None))).await;
    post.forget_password("ann@example.com").await;
    let (state, code) = post.outcome("people.send_password_reset").await;
    assert_eq!((&*state, code.as_deref()), ("dead", Some("mail_not_configured")));
    crew.leave(Duration::from_secs(1)).await;
}

/// Hands the mail over and then never comes back, as a process that dies in between.
struct DiesAfterSending {
    client: SmtpClient,
    sent: Arc<Notify>,
}

impl Mailer for DiesAfterSending {
    fn send<'a>(&'a self, mail: &'a Mail) -> PortFuture<'a, Result<MailReceipt, MailFault>> {
        Box::pin(async move {
            self.client.send(mail).await?;
            self.sent.notify_one();
            std::future::pending().await
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_mail_left_it_is_mailed_again_and_the_newest_link_works() {
    let post = Post::open().await;
    post.invite("ann@example.com", "en").await;
    let sent = Arc::new(Notify::new());
    let dying = DiesAfterSending { client: post.client(), sent: sent.clone() };
    let config = post.db.config();
    let store = post.db.store();
    let (kill, killed) = std::sync::mpsc::channel::<()>();
    // A process of its own, as far as one can have one here: its runtime ends without a word.
    let thread = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _crew = runtime.block_on(async {
            let queue = Queue::connect(config).await.unwrap();
            crew(&queue, store, Arc::new(dying)).await
        });
        let _ = killed.recv();
        runtime.shutdown_background();
    });
    tokio::time::timeout(PATIENCE, sent.notified()).await.unwrap();
    let first = post.mail_to("ann@example.com").await;
    kill.send(()).unwrap();
    thread.join().unwrap();

    let crew = post.worker().await;
    let registry = Arc::new(Registry::standard().unwrap());
    let tender = queue::tend::Tender::start(&post.queue, registry, worker::hasty());
    eventually(PATIENCE, || async { post.catcher.mails().len() == 2 }).await;
    let second = post.catcher.mails()[1].clone();
    let ids = [&first, &second].map(|mail| mail.header("message-id").unwrap());
    assert_ne!(ids[0], ids[1], "each carries a link of its own");
    let job = |id: &str| id.trim_start_matches('<').split('.').next().unwrap().to_owned();
    assert_eq!(job(&ids[0]), job(&ids[1]), "and both say which job sent them");

    let ended = post.accept(&token(&first, "invitation")).await.unwrap_err();
    assert!(matches!(ended, NotAccepted::Unknown), "{ended}");
    post.accept(&token(&second, "invitation")).await.unwrap();
    assert_eq!(post.outcome("people.send_invitation").await.0, "succeeded");
    tender.stop().await;
    crew.leave(Duration::from_secs(1)).await;
}
