//! People: invited, let in once, given roles and rooms, let out again.

use chrono::{DateTime, Duration, Utc};
use domain::{ActorId, InvitationId, JobId, Permissions, Role, WorkspaceId};
use secrecy::ExposeSecret;
use store::accounts::{self, NewAccount};
use store::people::invitations::{self, Entrant, Joined, NewInvitation, NotAccepted, State};
use store::people::members::{self, Change, Filter};
use store::people::{joining, rooms, workspaces};
use store::{Actor, Origin, StoreError, Tx, Workspaces, orgs, tokens};

use crate::database::Database;

/// An organisation with an owner.
async fn founded(database: &Database, slug: &str) -> Actor {
    let org = orgs::create(&database.store, slug, slug).await.unwrap();
    let mut tx = Tx::system(&database.store, org.org_id, "test").await.unwrap();
    let email = format!("owner@{slug}.example");
    let new = NewAccount { email: &email, name: "Olga Owner", locale: "en", password_hash: Some("$x") };
    accounts::create(&mut tx, &new, Utc::now()).await.unwrap();
    let account = accounts::get(&mut tx).await.unwrap();
    let actor = joining::join(&mut tx, &account, Role::Owner, &Workspaces::All, "test").await.unwrap();
    tx.commit().await.unwrap();
    Actor::person(org.org_id, actor, Role::Owner, Workspaces::All)
}

async fn invite(
    database: &Database,
    by: &Actor,
    email: &str,
    role: Role,
) -> Result<(InvitationId, JobId), StoreError> {
    let (invitation_id, job_id) = (InvitationId::new(), JobId::new());
    let new = NewInvitation { invitation_id, email, role, workspaces: Workspaces::All, locale: "es", job_id };
    let mut tx = Tx::for_actor(&database.store, by).await?;
    let made = invitations::create(&mut tx, &new, Utc::now()).await?;
    tx.commit().await?;
    assert_eq!((made.invitation_id, made.state(Utc::now())), (invitation_id, State::Open));
    assert_eq!((made.inviter.as_deref(), &*made.email), (Some("Olga Owner"), &*email.to_lowercase()));
    Ok((invitation_id, job_id))
}

/// What the worker does: a token, or none when there is nothing to send.
async fn mint(database: &Database, by: &Actor, id: InvitationId, job: JobId) -> Option<[u8; 32]> {
    let mut tx = Tx::for_job(&database.store, by.org_id, job, None).await.unwrap();
    let minted = invitations::mint(&mut tx, id, job, Utc::now()).await.unwrap();
    tx.commit().await.unwrap();
    minted.map(|minted| {
        assert_eq!(minted.token.expose_secret().len(), 43);
        assert!(!format!("{minted:?}").contains(minted.token.expose_secret()));
        invitations::hash(&minted.token)
    })
}

async fn accept(database: &Database, hash: &[u8; 32], at: DateTime<Utc>) -> Result<Joined, NotAccepted> {
    let entrant = Entrant::New { name: "Ann Ames", password_hash: "$y" };
    invitations::accept(&database.store, hash, entrant, &Origin::default(), at).await
}

#[tokio::test]
async fn an_invitation_lets_one_person_in_once() {
    let mut database = Database::migrated().await;
    let owner = founded(&database, "acme").await;
    let (id, job) = invite(&database, &owner, "Ann@Example.com", Role::Support).await.unwrap();
    let twice = invite(&database, &owner, "ann@example.com", Role::Owner).await;
    assert!(
        matches!(twice, Err(StoreError::Conflict(said)) if said.contains("open invitation")),
        "{twice:?}"
    );
    assert!(mint(&database, &owner, id, JobId::new()).await.is_none(), "another job mails nothing");

    let first = mint(&database, &owner, id, job).await.unwrap();
    let hash = mint(&database, &owner, id, job).await.unwrap();
    let replaced = accept(&database, &first, Utc::now()).await.unwrap_err();
    assert!(matches!(replaced, NotAccepted::Unknown), "{replaced}");
    let shown = invitations::look_up(&database.store, &hash).await.unwrap();
    assert_eq!((&*shown.org_name, shown.account, shown.org_id), ("acme", None, owner.org_id));

    let tasks = (0..20).map(|_| {
        let store = database.store.clone();
        tokio::spawn(async move {
            let entrant = Entrant::New { name: "Ann Ames", password_hash: "$y" };
            invitations::accept(&store, &hash, entrant, &Origin::default(), Utc::now()).await
        })
    });
    let mut joined = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(in_) => joined.push(in_),
            Err(NotAccepted::Ended(State::Accepted) | NotAccepted::HasAccount) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let [joined] = joined[..] else { panic!("{} came in", joined.len()) };
    let again = accept(&database, &hash, Utc::now()).await.unwrap_err();
    assert!(again.to_string().contains("accepted already"), "{again}");

    let mut tx = Tx::for_reader(&database.store, &owner).await.unwrap();
    let ann = members::get(&mut tx, joined.actor_id).await.unwrap();
    assert_eq!((&*ann.email, &*ann.name, ann.role), ("ann@example.com", "Ann Ames", Role::Support));
    let of_ann = accounts::memberships(&database.store, joined.account_id).await.unwrap();
    assert_eq!((of_ann.len(), of_ann[0].actor_id), (1, joined.actor_id));
    drop(tx);
    let late = invite(&database, &owner, "ann@example.com", Role::Support).await;
    assert!(matches!(late, Err(StoreError::Conflict(said)) if said.contains("belongs")), "{late:?}");
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_entry WHERE action LIKE 'invitation%' OR action = 'member.join' ORDER BY entry_id",
    )
    .fetch_all(&mut database.admin)
    .await
    .unwrap();
    let expected = [
        "member.join",
        "invitation.create",
        "invitation.mail",
        "invitation.mail",
        "member.join",
        "invitation.accept",
    ];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn an_invitation_ends_by_time_withdrawal_and_a_newer_mail() {
    let database = Database::migrated().await;
    let owner = founded(&database, "acme").await;
    let (id, job) = invite(&database, &owner, "ann@example.com", Role::Support).await.unwrap();
    let hash = mint(&database, &owner, id, job).await.unwrap();
    let late = accept(&database, &hash, Utc::now() + Duration::days(8)).await.unwrap_err();
    assert!(matches!(late, NotAccepted::Ended(State::Expired)), "{late}");

    let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
    let soon = invitations::resend(&mut tx, id, JobId::new(), Utc::now()).await;
    assert!(matches!(soon, Err(StoreError::Conflict(said)) if said.contains("minute")), "{soon:?}");
    drop(tx);
    let (newer, later) = (JobId::new(), Utc::now() + Duration::minutes(2));
    let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
    let again = invitations::resend(&mut tx, id, newer, later).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(again.expires_at.timestamp(), (later + invitations::LASTS).timestamp());
    assert!(matches!(accept(&database, &hash, Utc::now()).await, Err(NotAccepted::Unknown)));
    assert!(mint(&database, &owner, id, job).await.is_none(), "the older job has nothing to mail");
    let hash = mint(&database, &owner, id, newer).await.unwrap();

    for _ in 0..2 {
        let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
        invitations::revoke(&mut tx, id, Utc::now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let withdrawn = accept(&database, &hash, Utc::now()).await.unwrap_err();
    assert!(matches!(withdrawn, NotAccepted::Ended(State::Revoked)), "{withdrawn}");
    assert!(mint(&database, &owner, id, newer).await.is_none());
    // The address can be invited again.
    invite(&database, &owner, "ann@example.com", Role::Support).await.unwrap();
}

#[tokio::test]
async fn who_has_an_account_comes_in_with_it_and_nobody_else_does() {
    let database = Database::migrated().await;
    let (acme, other) = (founded(&database, "acme").await, founded(&database, "other").await);
    let known = accounts::find(&database.store, "owner@other.example").await.unwrap().unwrap();
    let stranger = accounts::find(&database.store, "owner@acme.example").await.unwrap().unwrap();
    let (id, job) = invite(&database, &acme, "owner@other.example", Role::Auditor).await.unwrap();
    let hash = mint(&database, &acme, id, job).await.unwrap();
    assert!(matches!(accept(&database, &hash, Utc::now()).await, Err(NotAccepted::HasAccount)));
    let of = |account| {
        let (store, now) = (database.store.clone(), Utc::now());
        async move { invitations::accept(&store, &hash, Entrant::Account(account), &Origin::default(), now).await }
    };
    assert!(matches!(of(stranger).await, Err(NotAccepted::Somebodys)));
    let joined = of(known).await.unwrap();
    assert_eq!((joined.account_id, joined.org_id), (known, acme.org_id));
    assert_eq!(accounts::memberships(&database.store, known).await.unwrap().len(), 2);

    // What is another organisation's is not there.
    let mut tx = Tx::for_actor(&database.store, &other).await.unwrap();
    assert!(matches!(invitations::get(&mut tx, id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(members::get(&mut tx, acme.actor_id).await, Err(StoreError::NotFound(_))));
    let disabled = members::disable(&mut tx, acme.actor_id, Utc::now()).await;
    assert!(matches!(disabled, Err(StoreError::NotFound(_))));
    assert_eq!(members::list(&mut tx, &Filter::default(), None, 50).await.unwrap().items.len(), 1);
}

async fn changed(database: &Database, by: &Actor, whom: ActorId, change: Change) -> Result<(), StoreError> {
    let mut tx = Tx::for_actor(&database.store, by).await?;
    members::change(&mut tx, whom, &change).await?;
    tx.commit().await
}

#[tokio::test]
async fn roles_and_rooms_change_and_an_owner_stays() {
    let mut database = Database::migrated().await;
    let owner = founded(&database, "acme").await;
    let (id, job) = invite(&database, &owner, "ann@example.com", Role::Support).await.unwrap();
    let hash = mint(&database, &owner, id, job).await.unwrap();
    let ann = accept(&database, &hash, Utc::now()).await.unwrap().actor_id;

    let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
    let room = workspaces::create(&mut tx, "madrid", "Madrid").await.unwrap().workspace_id;
    tx.commit().await.unwrap();
    let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
    let named = rooms::judge(&mut tx, Role::Support, Some(&[room, room])).await.unwrap();
    assert_eq!(named, Workspaces::Only([room].into()));
    for (role, wrong) in
        [(Role::Owner, vec![room]), (Role::Support, vec![]), (Role::Support, vec![room, WorkspaceId::new()])]
    {
        let judged = rooms::judge(&mut tx, role, Some(&wrong)).await;
        assert!(matches!(judged, Err(StoreError::Invalid { field: "workspaces", .. })), "{judged:?}");
    }
    drop(tx);
    let bound = Change { role: Some(Role::Manager), workspaces: Some(named.clone()) };
    changed(&database, &owner, ann, bound).await.unwrap();
    let manager = Actor::person(owner.org_id, ann, Role::Manager, named);
    let mut tx = Tx::for_reader(&database.store, &manager).await.unwrap();
    let seen = workspaces::list(&mut tx, None, 50).await.unwrap().items;
    assert_eq!(seen.iter().map(|seen| seen.workspace_id).collect::<Vec<_>>(), [room], "only theirs");
    drop(tx);

    // Nobody changes themselves, also not by SQL; the last owner stays.
    let own =
        changed(&database, &owner, owner.actor_id, Change { role: Some(Role::Auditor), workspaces: None })
            .await;
    assert!(matches!(own, Err(StoreError::Conflict(_))), "{own:?}");
    let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
    let forged = sqlx::query("UPDATE member SET role = 'support' WHERE actor_id = $1")
        .bind(owner.actor_id.0)
        .execute(tx.conn())
        .await;
    assert!(forged.unwrap_err().to_string().contains("nobody changes their own role"));
    drop(tx);
    let mut tx = Tx::system(&database.store, owner.org_id, "test").await.unwrap();
    members::disable(&mut tx, owner.actor_id, Utc::now()).await.unwrap();
    let last = tx.commit().await;
    assert!(matches!(&last, Err(StoreError::Refused(said)) if said.contains("without an owner")), "{last:?}");
    // Who is no owner changes nobody.
    let mut tx = Tx::for_actor(&database.store, &manager).await.unwrap();
    let tried = members::change(&mut tx, owner.actor_id, &Change::default()).await;
    assert!(tried.is_err());
    drop(tx);

    let mut tx = Tx::for_actor(&database.store, &owner).await.unwrap();
    let token = tokens::create(&mut tx, "ci", Permissions::TOKEN, None).await.unwrap();
    tx.commit().await.unwrap();
    let token = tokens::hash(token.secret.expose_secret()).unwrap();
    let live = tokens::look_up(&database.store, &token).await.unwrap().unwrap();
    assert!(live.revoked_at.is_none());

    changed(&database, &owner, ann, Change { role: Some(Role::Owner), workspaces: None }).await.unwrap();
    let second = Actor::person(owner.org_id, ann, Role::Owner, Workspaces::All);
    let mut tx = Tx::for_actor(&database.store, &second).await.unwrap();
    let (after, _) = members::disable(&mut tx, owner.actor_id, Utc::now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(after.disabled_at.is_some());
    let left = tokens::look_up(&database.store, &token).await.unwrap().unwrap();
    assert!(left.revoked_at.is_some(), "whoever leaves takes their tokens along");
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM member_workspace")
        .fetch_one(&mut database.admin)
        .await
        .unwrap();
    assert_eq!(rows, 0, "an owner is bound to no room");
}

#[tokio::test]
async fn two_owners_do_not_leave_at_once() {
    let database = Database::migrated().await;
    let owner = founded(&database, "acme").await;
    let (id, job) = invite(&database, &owner, "ann@example.com", Role::Owner).await.unwrap();
    let hash = mint(&database, &owner, id, job).await.unwrap();
    let ann = accept(&database, &hash, Utc::now()).await.unwrap().actor_id;
    let second = Actor::person(owner.org_id, ann, Role::Owner, Workspaces::All);
    let demote = |by: Actor, whom: ActorId| {
        let store = database.store.clone();
        tokio::spawn(async move {
            let mut tx = Tx::for_actor(&store, &by).await?;
            members::change(&mut tx, whom, &Change { role: Some(Role::Support), workspaces: None }).await?;
            tx.commit().await
        })
    };
    let (one, two) = (demote(owner.clone(), ann), demote(second, owner.actor_id));
    let outcomes = [one.await.unwrap().is_ok(), two.await.unwrap().is_ok()];
    assert_eq!(outcomes.iter().filter(|done| **done).count(), 1, "{outcomes:?}");
}

#[tokio::test]
async fn lists_go_on_where_they_stopped() {
    let database = Database::migrated().await;
    let owner = founded(&database, "acme").await;
    for number in 0..5 {
        invite(&database, &owner, &format!("p{number}@example.com"), Role::Support).await.unwrap();
    }
    let mut tx = Tx::for_reader(&database.store, &owner).await.unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page =
            invitations::list(&mut tx, Some(State::Open), Utc::now(), cursor.as_deref(), 2).await.unwrap();
        seen.extend(page.items.into_iter().map(|item| item.email));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["p4", "p3", "p2", "p1", "p0"].map(|name| format!("{name}@example.com")));
    assert!(
        invitations::list(&mut tx, Some(State::Revoked), Utc::now(), None, 2).await.unwrap().items.is_empty()
    );
    let page = invitations::list(&mut tx, Some(State::Open), Utc::now(), None, 2).await.unwrap();
    let elsewhere = invitations::list(&mut tx, None, Utc::now(), page.next.as_deref(), 2).await;
    assert!(matches!(elsewhere, Err(StoreError::BadCursor)));
    let found =
        members::list(&mut tx, &Filter { q: Some("OLGA".into()), ..Filter::default() }, None, 5).await;
    assert_eq!(found.unwrap().items.len(), 1);
    let none = Filter { role: Some(Role::Auditor), ..Filter::default() };
    assert!(members::list(&mut tx, &none, None, 5).await.unwrap().items.is_empty());
}
