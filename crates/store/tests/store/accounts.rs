//! Sign-in data: what works once works once, buckets count right, and nobody sees another's.

use chrono::{DateTime, Duration, Utc};
use domain::{AccountId, ActorId, OrgId, Role, SessionId};
use secrecy::ExposeSecret;
use store::accounts::sessions::{self, NewSession};
use store::accounts::throttle::{self, Bucket, Pace};
use store::accounts::{self, NewAccount, resets, second_factor};
use store::{Actor, InSession, Store, StoreError, Tx, Workspaces, orgs};

use crate::database::Database;

async fn member(store: &Store, org: OrgId, email: &str, role: Role) -> Actor {
    let mut tx = Tx::system(store, org, "a test's person").await.unwrap();
    let new = NewAccount { email, name: "Ana", locale: "en", password_hash: None };
    let account = accounts::create(&mut tx, &new, Utc::now()).await.unwrap();
    let actor = ActorId::new();
    sqlx::query("INSERT INTO actor (actor_id, org_id, kind, name) VALUES ($1, $2, 'person', 'Ana')")
        .bind(actor.0)
        .bind(org.0)
        .execute(tx.conn())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO member (org_id, actor_id, account_id, email, role, all_workspaces)
         VALUES ($1, $2, $3, $4, $5, true)",
    )
    .bind(org.0)
    .bind(actor.0)
    .bind(account.0)
    .bind(email)
    .bind(role.as_str())
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let mut person = Actor::person(org, actor, role, Workspaces::All);
    person.session = Some(InSession { account_id: account, session_id: SessionId::new() });
    person
}

async fn begin(store: &Store, actor: &Actor, token_hash: [u8; 32], now: DateTime<Utc>) -> SessionId {
    let mut actor = actor.clone();
    let session_id = SessionId::new();
    actor.session = actor.session.map(|within| InSession { session_id, ..within });
    let mut tx = Tx::for_actor(store, &actor).await.unwrap();
    let new = NewSession { token_hash, user_agent: None, second_factor: false, how: "password" };
    sessions::begin(&mut tx, &actor, &new, now).await.unwrap();
    tx.commit().await.unwrap();
    session_id
}

async fn acme(database: &Database) -> OrgId {
    orgs::create(&database.store, "acme", "Acme").await.unwrap().org_id
}

fn account_of(actor: &Actor) -> AccountId {
    actor.session.unwrap().account_id
}

#[tokio::test]
async fn a_session_is_found_by_hash_and_id_and_lives_by_the_clock() {
    let database = Database::migrated().await;
    let (store, now) = (&database.store, Utc::now());
    let ana = member(store, acme(&database).await, "ana@example.com", Role::Manager).await;
    let id = begin(store, &ana, [1; 32], now).await;
    let by_hash = sessions::look_up(store, Some(&[1; 32]), None).await.unwrap().unwrap();
    let by_id = sessions::look_up(store, None, Some(id)).await.unwrap().unwrap();
    for found in [by_hash, by_id] {
        assert_eq!((found.session_id, found.account_id), (id, account_of(&ana)));
        assert_eq!((found.actor.role(), found.actor.actor_id), (Some(Role::Manager), ana.actor_id));
        assert_eq!(found.actor.workspaces, Workspaces::All);
        assert!(found.lives(now) && found.lives(now + sessions::IDLE - Duration::seconds(1)));
        assert!(!found.lives(now + sessions::IDLE) && !found.lives(now + sessions::LIFE));
    }
    assert!(sessions::look_up(store, Some(&[2; 32]), None).await.unwrap().is_none());
    assert!(sessions::look_up(store, None, None).await.unwrap().is_none());
    sessions::touch(store, account_of(&ana), id, now + Duration::days(10)).await.unwrap();
    let touched = sessions::look_up(store, None, Some(id)).await.unwrap().unwrap();
    assert!(touched.lives(now + Duration::days(20)));
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_their_person_and_by_owners_only() {
    let database = Database::migrated().await;
    let (store, now) = (&database.store, Utc::now());
    let org = acme(&database).await;
    let other_org = orgs::create(store, "other", "Other").await.unwrap().org_id;
    let ana = member(store, org, "ana@example.com", Role::Manager).await;
    let bo = member(store, org, "bo@example.com", Role::Manager).await;
    let owner = member(store, org, "owner@example.com", Role::Owner).await;
    let stranger = member(store, other_org, "stranger@example.com", Role::Owner).await;
    let id = begin(store, &ana, [1; 32], now).await;
    for (who, sees) in [(&ana, true), (&bo, false), (&owner, true), (&stranger, false)] {
        let mut tx = Tx::for_actor(store, who).await.unwrap();
        let seen = sessions::list_of_member(&mut tx, ana.actor_id, now).await.unwrap();
        assert_eq!(seen.len(), usize::from(sees), "{:?}", who.role());
        if !sees {
            let ended = sessions::end(&mut tx, id, now).await;
            assert!(matches!(ended, Err(StoreError::NotFound("session"))), "{ended:?}");
        }
    }
    let mut tx = Tx::for_actor(store, &owner).await.unwrap();
    let not_own = sessions::end_own(&mut tx, id, now).await;
    assert!(matches!(not_own, Err(StoreError::NotFound("session"))));
    assert_eq!(sessions::end_all_of_member(&mut tx, ana.actor_id, now).await.unwrap(), [id]);
    tx.commit().await.unwrap();
    let ended = sessions::look_up(store, None, Some(id)).await.unwrap().unwrap();
    assert!(!ended.lives(now));
    // Nobody begins a session as somebody else.
    let mut forged = bo.clone();
    forged.session = ana.session;
    let mut tx = Tx::for_actor(store, &bo).await.unwrap();
    let new = NewSession { token_hash: [9; 32], user_agent: None, second_factor: false, how: "password" };
    assert!(sessions::begin(&mut tx, &forged, &new, now).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_step_and_a_recovery_code_work_once_for_fifty_at_once() {
    let database = Database::migrated().await;
    let (store, now) = (&database.store, Utc::now());
    let ana = member(store, acme(&database).await, "ana@example.com", Role::Owner).await;
    let account = account_of(&ana);
    let mut tx = Tx::for_actor(store, &ana).await.unwrap();
    second_factor::propose(&mut tx, account, b"sealed").await.unwrap();
    assert!(!second_factor::confirm(&mut tx, account, b"another", 100, now).await.unwrap());
    assert!(second_factor::confirm(&mut tx, account, b"sealed", 100, now).await.unwrap());
    second_factor::replace_recovery_codes(&mut tx, account, &[[1; 32], [2; 32]], now).await.unwrap();
    tx.commit().await.unwrap();
    for recovery in [false, true] {
        let tries = (0..50).map(|_| {
            let (store, ana) = (store.clone(), ana.clone());
            tokio::spawn(async move {
                let mut tx = Tx::for_actor(&store, &ana).await.unwrap();
                let used = if recovery {
                    second_factor::use_recovery_code(&mut tx, account, &[1; 32], now).await.unwrap()
                } else {
                    second_factor::use_step(&mut tx, 101).await.unwrap()
                };
                if used {
                    tx.commit_unrecorded("a test").await.unwrap();
                }
                used
            })
        });
        let mut used = 0;
        for each in tries.collect::<Vec<_>>() {
            used += usize::from(each.await.unwrap());
        }
        assert_eq!(used, 1, "recovery: {recovery}");
    }
    let mut tx = Tx::for_actor(store, &ana).await.unwrap();
    assert_eq!(second_factor::codes_left(&mut tx).await.unwrap(), 1);
    // Steps only go forward; the one that confirmed the factor is used up as well.
    for step in [99, 100, 101] {
        assert!(!second_factor::use_step(&mut tx, step).await.unwrap(), "{step}");
    }
    assert!(second_factor::use_step(&mut tx, 102).await.unwrap());
    second_factor::remove(&mut tx, account).await.unwrap();
    assert!(!second_factor::use_step(&mut tx, 103).await.unwrap(), "there is none to use");
}

#[tokio::test]
async fn a_reset_is_minted_anew_and_taken_once() {
    let database = Database::migrated().await;
    let (store, now) = (&database.store, Utc::now());
    let org = acme(&database).await;
    let ana = member(store, org, "ana@example.com", Role::Owner).await;
    let system = || Tx::system(store, org, "a test's reset");
    let mut tx = system().await.unwrap();
    let id = resets::request(&mut tx, account_of(&ana), Some("ne"), now).await.unwrap();
    let first = resets::mint(&mut tx, id, now).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = system().await.unwrap();
    let second = resets::mint(&mut tx, id, now).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((second.email.as_str(), second.locale.as_str()), ("ana@example.com", "ne"));
    let find = async |token: &str| resets::look_up(store, &resets::hash(token).unwrap()).await.unwrap();
    assert!(find(first.token.expose_secret()).await.is_none(), "the newer mail's link replaced it");
    let found = find(second.token.expose_secret()).await.unwrap();
    assert!(found.works(now) && !found.works(now + resets::LIFE));
    let mut tx = system().await.unwrap();
    assert!(resets::take(&mut tx, &found, now).await.unwrap());
    assert!(!resets::take(&mut tx, &found, now).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = system().await.unwrap();
    let used = resets::mint(&mut tx, id, now).await;
    assert!(matches!(used, Err(StoreError::NotFound(_))), "{used:?}");
    // Nobody who is signed in has to do with it.
    let mut tx = Tx::for_actor(store, &ana).await.unwrap();
    let seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM password_reset").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn buckets_give_some_at_once_and_then_one_each_so_often() {
    let database = Database::migrated().await;
    let (store, start) = (&database.store, Utc::now());
    let pace = Pace::new(3, 20);
    let bucket = Bucket::new("account", b"ana", pace);
    let at = |seconds: i64| start + Duration::seconds(seconds);
    let admit = async |buckets: &[Bucket], seconds: i64| {
        throttle::admit(store, buckets, at(seconds)).await.unwrap().map(|wait| wait.as_secs())
    };
    let one = std::slice::from_ref(&bucket);
    for _ in 0..3 {
        assert_eq!(admit(one, 0).await, None);
    }
    assert_eq!(admit(one, 0).await, Some(20));
    assert_eq!(admit(one, 15).await, Some(5));
    assert_eq!(admit(one, 20).await, None);
    assert_eq!(admit(one, 20).await, Some(20));
    throttle::forgive(store, &bucket).await.unwrap();
    assert_eq!(admit(one, 20).await, None);
    // Refused by one bucket, nothing is taken from the other.
    let other = Bucket::new("address", b"ana", pace);
    let both = [other.clone(), bucket.clone()];
    for _ in 0..5 {
        assert_eq!(admit(&both, 20).await, Some(20));
    }
    for _ in 0..3 {
        assert_eq!(admit(std::slice::from_ref(&other), 20).await, None);
    }
    // A full bucket is forgotten, an empty one is not.
    assert_eq!(throttle::prune(store, at(25)).await.unwrap(), 0);
    assert_eq!(throttle::prune(store, at(1_000)).await.unwrap(), 2);
    assert_eq!(admit(one, 1_000).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_counts_right_for_many_at_once() {
    let database = Database::migrated().await;
    let now = Utc::now();
    let tries = (0..200_u8).map(|n| {
        let store = database.store.clone();
        tokio::spawn(async move {
            // Addresses differ, the account is the same.
            let buckets = [
                Bucket::new("address", &[n], Pace::new(20, 6)),
                Bucket::new("account", b"ana", Pace::new(10, 20)),
            ];
            throttle::admit(&store, &buckets, now).await.unwrap().is_none()
        })
    });
    let mut admitted = 0;
    for each in tries.collect::<Vec<_>>() {
        admitted += usize::from(each.await.unwrap());
    }
    assert_eq!(admitted, 10);
}
