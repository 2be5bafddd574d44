//! A thousand interleavings of each race, over several connections, with pauses drawn from a printed seed.
//!
//! Whatever the order, what [`Desk::check`] says must hold; each test also demands that the race was one, that
//! is, that every possible outcome came up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use domain::Role;
use futures::future::join_all;
use serde_json::json;
use store::approvals::{Asked, RuleSpec, edit, expire_due, put_rule};
use store::{Actor, StoreError, Tx};

use super::desk::{Desk, PAYOUT, pause};

const ROUNDS: u64 = 1000;
/// Rounds under way at once; each uses two or three of the pool's connections.
const LANES: u64 = 4;

/// Small numbers by a seed (splitmix64).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// None often, otherwise up to three milliseconds, in microseconds.
    fn pause(&mut self) -> u64 {
        if self.roll().is_multiple_of(3) { 0 } else { self.roll() % 3000 }
    }
}

/// Plays all rounds; answers how often each outcome came up.
async fn play<F>(name: &str, desk: &Arc<Desk>, round: F) -> BTreeMap<String, u64>
where
    F: AsyncFn(Arc<Desk>, Dice) -> String,
{
    let seed = std::env::var("COUNTERSIGN_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    println!("{name}: COUNTERSIGN_TEST_SEED={seed}");
    let mut outcomes = BTreeMap::new();
    for group in 0..ROUNDS / LANES {
        let rounds = (0..LANES).map(|lane| round(desk.clone(), Dice(seed ^ ((group * LANES + lane) << 20))));
        for outcome in join_all(rounds).await {
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    println!("{name}: {outcomes:?}");
    desk.check().await;
    outcomes
}

async fn edited(desk: &Desk, actor: &Actor, asked: &Asked, dice: &mut Dice) -> Result<Asked, StoreError> {
    let job = sqlx::query_scalar::<_, String>("SELECT subject_id FROM approval WHERE approval_id = $1")
        .bind(asked.approval_id.0)
        .fetch_one(desk.admin())
        .await
        .unwrap();
    pause(dice.pause()).await;
    let mut tx = Tx::for_actor(&desk.store, actor).await?;
    pause(dice.pause()).await;
    let edited =
        edit(&mut tx, asked.approval_id, desk.content(job.parse().unwrap(), 999, &json!({}))).await?;
    pause(dice.pause()).await;
    tx.commit().await?;
    Ok(edited)
}

async fn rule(desk: &Desk, needed: i16) {
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let spec = RuleSpec { roles: vec![Role::Owner, Role::Manager], needed, ..RuleSpec::default() };
    put_rule(&mut tx, &format!("job:{PAYOUT}"), &spec).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approve_against_edit() {
    let desk = Arc::new(Desk::open().await);
    let outcomes = play("approve against edit", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.manager).await;
        let mut other = dice.clone();
        let (before, after) = (dice.pause() * 3, dice.pause());
        other.roll();
        let (approved, edit) = tokio::join!(
            desk.approve_slowly(&desk.owner, &asked, before, after),
            edited(&desk, &desk.manager, &asked, &mut other)
        );
        match (approved, edit) {
            (Ok(true), Err(StoreError::Refused(_))) => "approved".into(),
            (Err(_), Ok(_)) => "edited".into(),
            both => panic!("{both:?}"),
        }
    })
    .await;
    assert!(outcomes["approved"] > 20 && outcomes["edited"] > 20, "{outcomes:?}");
    assert_eq!(desk.count("SELECT count(*) FROM job").await, i64::try_from(outcomes["approved"]).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_twice() {
    let desk = Arc::new(Desk::open().await);
    rule(&desk, 2).await;
    play("one person twice, two needed", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.manager).await;
        let (a, b) = tokio::join!(
            desk.approve_slowly(&desk.owner, &asked, dice.clone().pause(), dice.roll() % 2000),
            desk.approve_slowly(&desk.owner, &asked, dice.pause(), dice.roll() % 2000)
        );
        assert_eq!([&a, &b].iter().filter(|one| ***one == Ok(false)).count(), 1, "{a:?} {b:?}");
        "counted once".into()
    })
    .await;
    assert_eq!(desk.count("SELECT count(*) FROM job").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_releases_once() {
    let desk = Arc::new(Desk::open().await);
    play("the same request three times", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.manager).await;
        let pauses = [dice.pause(), dice.pause(), dice.pause()];
        let tries = join_all(pauses.map(|pause| desk.approve_slowly(&desk.owner, &asked, pause, 0))).await;
        assert_eq!(tries.iter().filter(|one| **one == Ok(true)).count(), 1, "{tries:?}");
        "released once".into()
    })
    .await;
    assert_eq!(desk.count("SELECT count(*) FROM job").await, i64::try_from(ROUNDS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_where_one_is_needed() {
    let desk = Arc::new(Desk::open().await);
    let outcomes = play("two people, one needed", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.manager).await;
        let (a, b) = tokio::join!(
            desk.approve_slowly(&desk.owner, &asked, dice.pause(), dice.clone().pause()),
            desk.approve_slowly(&desk.second_owner, &asked, dice.pause(), dice.clone().pause())
        );
        match (a, b) {
            (Ok(true), Err(_)) => "first".into(),
            (Err(_), Ok(true)) => "second".into(),
            both => panic!("{both:?}"),
        }
    })
    .await;
    assert!(outcomes["first"] > 20 && outcomes["second"] > 20, "{outcomes:?}");
    assert_eq!(desk.count("SELECT count(*) FROM job").await, i64::try_from(ROUNDS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_where_two_are_needed() {
    let desk = Arc::new(Desk::open().await);
    rule(&desk, 2).await;
    let outcomes = play("two people, two needed", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.manager).await;
        let (a, b) = tokio::join!(
            desk.approve_slowly(&desk.owner, &asked, dice.pause(), dice.clone().pause()),
            desk.approve_slowly(&desk.second_owner, &asked, dice.pause(), dice.clone().pause())
        );
        match (a, b) {
            (Ok(true), Ok(false)) => "first last".into(),
            (Ok(false), Ok(true)) => "second last".into(),
            both => panic!("{both:?}"),
        }
    })
    .await;
    assert!(outcomes.len() == 2, "{outcomes:?}");
    assert_eq!(desk.count("SELECT count(*) FROM job").await, i64::try_from(ROUNDS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_who_approves_meanwhile() {
    let desk = Arc::new(Desk::open().await);
    rule(&desk, 1).await;
    let outcomes = play("edit and approve by one person", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.owner).await;
        let mut other = dice.clone();
        let before = dice.pause() * 3;
        other.roll();
        let (approved, edit) = tokio::join!(
            desk.approve_slowly(&desk.manager, &asked, before, dice.pause()),
            edited(&desk, &desk.manager, &asked, &mut other)
        );
        match (approved, edit) {
            (Ok(true), Err(StoreError::Refused(_))) => "approved before editing".into(),
            (Err(_), Ok(edited)) => {
                // Neither the old content nor one's own.
                assert!(desk.approve(&desk.manager, &asked).await.is_err());
                assert!(desk.approve(&desk.manager, &edited).await.is_err());
                assert!(
                    desk.approve(&desk.owner, &edited).await.is_err(),
                    "whoever asked first is a maker too"
                );
                "edited".into()
            }
            both => panic!("{both:?}"),
        }
    })
    .await;
    assert!(outcomes.len() == 2, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_that_passes_during_the_call() {
    let desk = Arc::new(Desk::open().await);
    let outcomes = play("approve against expiry", &desk, async |desk, mut dice| {
        let (asked, _) = desk.asked_by(&desk.manager).await;
        desk.force(
            "UPDATE approval SET expires_at = clock_timestamp() + interval '12 ms' WHERE approval_id = $1",
            asked.approval_id.0,
        )
        .await;
        let (before, after, sweeps) = (dice.roll() % 12000, dice.roll() % 1000, dice.roll() % 15000);
        let sweep = async {
            pause(sweeps).await;
            expire_due(&desk.store).await.unwrap();
        };
        let (approved, ()) = tokio::join!(desk.approve_slowly(&desk.owner, &asked, before, after), sweep);
        match approved {
            Ok(true) => "in time".into(),
            Err(why) if why.contains("expired") => "too late".into(),
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert!(outcomes.len() == 2, "{outcomes:?}");
    expire_due(&desk.store).await.unwrap();
    assert_eq!(desk.count("SELECT count(*) FROM approval WHERE state = 'pending'").await, 0);
}
