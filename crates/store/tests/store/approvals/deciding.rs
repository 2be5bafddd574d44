//! Who may decide, on what, until when; each refusal by name.

use domain::{JobId, OrgId, Role};
use serde_json::json;
use store::approvals::{
    DecideError, Decision, Filter, RuleSpec, State, ask, decide, delete_rule, detail, edit, expire_due, list,
    put_rule, withdraw,
};
use store::jobs::PageAsk;
use store::{Actor, StoreError, Tx};

use super::desk::{Desk, PAYOUT, enqueue, person};

async fn rule(desk: &Desk, spec: RuleSpec) {
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    put_rule(&mut tx, &format!("job:{PAYOUT}"), &spec).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_owner_approves_what_a_manager_asked_for_and_the_job_is_there() {
    let desk = Desk::open().await;
    let (asked, job) = desk.asked_by(&desk.manager).await;
    assert_eq!(desk.state(asked.approval_id).await, "pending");
    assert_eq!(desk.approve(&desk.owner, &asked).await, Ok(true));
    assert_eq!(desk.state(asked.approval_id).await, "approved");
    let payload: String = sqlx::query_scalar("SELECT payload::text FROM job WHERE job_id = $1")
        .bind(job.0)
        .fetch_one(desk.admin())
        .await
        .unwrap();
    assert_eq!(payload, r#"{"cents":100}"#);
    desk.check().await;

    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_entry WHERE subject_id = $1 ORDER BY entry_id")
            .bind(asked.approval_id.to_string())
            .fetch_all(desk.admin())
            .await
            .unwrap();
    assert_eq!(actions, ["approval.request", "approval.approve", "approval.release"]);
    let again = desk.approve(&desk.second_owner, &asked).await.unwrap_err();
    assert!(again.contains("approved already"), "{again}");
}

#[tokio::test]
async fn makers_do_not_decide_unless_the_rule_says_so() {
    let desk = Desk::open().await;
    let (asked, _) = desk.asked_by(&desk.owner).await;
    let refused = desk.approve(&desk.owner, &asked).await.unwrap_err();
    assert!(refused.contains("does not decide"), "{refused}");
    assert!(desk.reject(&desk.owner, &asked, "no").await.is_err());
    assert_eq!(desk.approve(&desk.second_owner, &asked).await, Ok(true));

    // An editor is a maker of everything that follows.
    let (asked, job) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let edited = edit(&mut tx, asked.approval_id, desk.content(job, 200, &json!({}))).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(edited.voided, [asked.approval_id]);
    assert_eq!(desk.state(asked.approval_id).await, "voided");
    assert!(desk.approve(&desk.owner, &asked).await.unwrap_err().contains("void"));
    assert!(desk.approve(&desk.owner, &edited).await.unwrap_err().contains("does not decide"));
    assert_eq!(desk.approve(&desk.second_owner, &edited).await, Ok(true));

    rule(&desk, RuleSpec { maker_may_decide: true, ..RuleSpec::default() }).await;
    let (asked, _) = desk.asked_by(&desk.owner).await;
    assert_eq!(desk.approve(&desk.owner, &asked).await, Ok(true));
}

#[tokio::test]
async fn the_rule_says_which_roles_and_how_many() {
    let desk = Desk::open().await;
    let (asked, _) = desk.asked_by(&desk.owner).await;
    let refused = desk.approve(&desk.manager, &asked).await.unwrap_err();
    assert!(refused.starts_with("not yours") && refused.contains("owner"), "{refused}");

    let spec = RuleSpec { roles: vec![Role::Owner, Role::Manager], needed: 2, ..RuleSpec::default() };
    rule(&desk, spec).await;
    // The rule it was asked under holds.
    assert!(desk.approve(&desk.manager, &asked).await.is_err());
    let (asked, _) = desk.asked_by(&desk.owner).await;
    assert_eq!(desk.approve(&desk.manager, &asked).await, Ok(false));
    let twice = desk.approve(&desk.manager, &asked).await.unwrap_err();
    assert!(twice.contains("one person counts once"), "{twice}");
    // Whoever is let go meanwhile does not count.
    let third = person(&desk.db, desk.org, Role::Owner, &[]).await;
    desk.force("UPDATE member SET disabled_at = now() WHERE actor_id = $1", desk.manager.actor_id.0).await;
    assert_eq!(desk.approve(&desk.second_owner, &asked).await, Ok(false));
    assert_eq!(desk.approve(&third, &asked).await, Ok(true));
    desk.check().await;

    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    delete_rule(&mut tx, &format!("job:{PAYOUT}")).await.unwrap();
    tx.commit().await.unwrap();
    let (asked, _) = desk.asked_by(&desk.owner).await;
    assert_eq!(desk.approve(&desk.second_owner, &asked).await, Ok(true), "the kind is guarded all the same");
}

#[tokio::test]
async fn one_rejection_ends_it_and_says_why() {
    let desk = Desk::open().await;
    let (asked, job) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let silent = decide(&mut tx, asked.approval_id, Decision::Reject, asked.content_hash, None).await;
    assert!(
        matches!(silent, Err(DecideError::Store(StoreError::Invalid { field: "comment", .. }))),
        "{silent:?}"
    );
    drop(tx);
    desk.reject(&desk.owner, &asked, "too much").await.unwrap();
    assert!(desk.approve(&desk.second_owner, &asked).await.unwrap_err().contains("rejected already"));
    // Edited, it may be asked for again.
    let mut tx = Tx::for_actor(&desk.store, &desk.manager).await.unwrap();
    let edited = edit(&mut tx, asked.approval_id, desk.content(job, 50, &json!({}))).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(desk.approve(&desk.second_owner, &edited).await, Ok(true));
    let mut tx = Tx::for_actor(&desk.store, &desk.manager).await.unwrap();
    for (id, why) in [(edited.approval_id, "approved already"), (asked.approval_id, "edited already")] {
        match edit(&mut tx, id, desk.content(job, 60, &json!({}))).await {
            Err(StoreError::Refused(sentence)) => assert!(sentence.contains(why), "{sentence}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_decision_names_the_content_it_is_about() {
    let desk = Desk::open().await;
    let (mut asked, _) = desk.asked_by(&desk.manager).await;
    let right = asked.content_hash;
    asked.content_hash[31] ^= 1;
    assert!(desk.approve(&desk.owner, &asked).await.unwrap_err().contains("content hash"));
    asked.content_hash = right;
    assert_eq!(desk.approve(&desk.owner, &asked).await, Ok(true));
}

#[tokio::test]
async fn what_expired_is_not_decided_and_is_swept() {
    let desk = Desk::open().await;
    let (asked, _) = desk.asked_by(&desk.manager).await;
    let (lives, _) = desk.asked_by(&desk.manager).await;
    desk.force(
        "UPDATE approval SET expires_at = clock_timestamp() - interval '1 ms' WHERE approval_id = $1",
        asked.approval_id.0,
    )
    .await;
    assert!(desk.approve(&desk.owner, &asked).await.unwrap_err().contains("expired"));
    let mut tx = Tx::for_reader(&desk.store, &desk.owner).await.unwrap();
    assert_eq!(detail(&mut tx, asked.approval_id).await.unwrap().summary.state, State::Expired);
    drop(tx);
    let ended = expire_due(&desk.store).await.unwrap();
    assert_eq!(ended.iter().map(|one| one.approval_id).collect::<Vec<_>>(), [asked.approval_id]);
    assert!(expire_due(&desk.store).await.unwrap().is_empty());
    assert_eq!(desk.state(asked.approval_id).await, "expired");
    assert_eq!(desk.state(lives.approval_id).await, "pending");
    assert_eq!(desk.count("SELECT count(*) FROM audit_entry WHERE action = 'approval.expire'").await, 1);
}

#[tokio::test]
async fn a_proof_of_who_one_is_must_be_fresh() {
    let desk = Desk::open().await;
    let above = RuleSpec { step_up_above: Some((500, "EUR".into())), ..RuleSpec::default() };
    rule(&desk, above).await;
    let amount = |minor: i64, currency: &str| json!({ "amount_minor": minor, "currency": currency });
    let (small, _) = desk.asked(&desk.manager, amount(499, "EUR")).await;
    assert_eq!(desk.approve(&desk.owner, &small).await, Ok(true));
    for more in [amount(500, "EUR"), amount(1, "NPR"), json!({})] {
        let (asked, _) = desk.asked(&desk.manager, more.clone()).await;
        assert!(desk.approve(&desk.owner, &asked).await.unwrap_err().starts_with("step-up"), "{more}");
    }
    let session = desk.owner.session.unwrap().session_id.0;
    let (asked, _) = desk.asked(&desk.manager, amount(500, "EUR")).await;
    for (moment, fresh) in [
        ("UPDATE session SET step_up_at = now() - interval '301 s' WHERE session_id = $1", false),
        ("UPDATE session SET step_up_at = now() + interval '1 h' WHERE session_id = $1", false),
        ("UPDATE session SET step_up_at = now() - interval '290 s' WHERE session_id = $1", true),
    ] {
        desk.force(moment, session).await;
        assert_eq!(desk.approve(&desk.owner, &asked).await.is_ok(), fresh, "{moment}");
    }
    // Saying no releases nothing, so it needs no proof.
    let (asked, _) = desk.asked(&desk.manager, json!({})).await;
    desk.reject(&desk.second_owner, &asked, "no").await.unwrap();
}

#[tokio::test]
async fn only_a_person_in_a_live_session_decides() {
    let desk = Desk::open().await;
    let (asked, _) = desk.asked_by(&desk.manager).await;
    let session = desk.owner.session.unwrap().session_id.0;
    let without = Actor { session: None, ..desk.owner.clone() };
    let borrowed = Actor { session: desk.second_owner.session, ..desk.owner.clone() };
    for actor in [&without, &borrowed] {
        assert!(desk.approve(actor, &asked).await.unwrap_err().contains("signed in"));
    }
    for moment in [
        "UPDATE session SET revoked_at = now() WHERE session_id = $1",
        "UPDATE session SET revoked_at = NULL, expires_at = now() WHERE session_id = $1",
        "UPDATE session SET expires_at = now() + interval '1 h', last_seen_at = now() - interval '15 d'
         WHERE session_id = $1",
    ] {
        desk.force(moment, session).await;
        assert!(desk.approve(&desk.owner, &asked).await.unwrap_err().contains("signed in"), "{moment}");
    }
    desk.force("UPDATE session SET last_seen_at = now() WHERE session_id = $1", session).await;
    for (moment, why) in [
        ("UPDATE member SET disabled_at = now() WHERE actor_id = $1", "ended"),
        ("UPDATE member SET disabled_at = NULL, role = 'finance' WHERE actor_id = $1", "role"),
    ] {
        desk.force(moment, desk.owner.actor_id.0).await;
        let refused = desk.approve(&desk.owner, &asked).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let token = Actor::token(desk.org, desk.owner.actor_id, domain::Permissions::TOKEN);
    assert!(desk.approve(&token, &asked).await.is_err(), "a token never decides");
    let auditor = person(&desk.db, desk.org, Role::Auditor, &[]).await;
    assert!(desk.approve(&auditor, &asked).await.is_err());
    assert_eq!(desk.approve(&desk.second_owner, &asked).await, Ok(true));
}

#[tokio::test]
async fn another_room_and_another_organisation_see_nothing() {
    let desk = Desk::open().await;
    let spec = RuleSpec { roles: vec![Role::Owner, Role::Manager], ..RuleSpec::default() };
    rule(&desk, spec).await;
    let (asked, _) = desk.asked_by(&desk.owner).await;
    let elsewhere = person(&desk.db, desk.org, Role::Manager, &[]).await;
    let foreign: OrgId = store::orgs::create(&desk.store, "other", "Other").await.unwrap().org_id;
    let foreigner = person(&desk.db, foreign, Role::Owner, &[]).await;
    for actor in [&elsewhere, &foreigner] {
        let mut tx = Tx::for_actor(&desk.store, actor).await.unwrap();
        assert!(matches!(detail(&mut tx, asked.approval_id).await, Err(StoreError::NotFound("approval"))));
        let refused = decide(&mut tx, asked.approval_id, Decision::Approve, asked.content_hash, None).await;
        assert!(matches!(refused, Err(DecideError::Store(StoreError::NotFound(_)))), "{refused:?}");
        assert!(matches!(withdraw(&mut tx, asked.approval_id, None).await, Err(StoreError::NotFound(_))));
        let ask = PageAsk { cursor: None, limit: 10 };
        assert!(list(&mut tx, &Filter::default(), &ask).await.unwrap().rows.is_empty());
    }
    assert_eq!(desk.approve(&desk.manager, &asked).await, Ok(true));
}

#[tokio::test]
async fn lists_show_what_is_mine_to_decide() {
    let desk = Desk::open().await;
    let (one, _) = desk.asked_by(&desk.manager).await;
    let (two, _) = desk.asked_by(&desk.owner).await;
    let (three, _) = desk.asked_by(&desk.manager).await;
    desk.reject(&desk.owner, &three, "no").await.unwrap();
    let of = async |actor: &Actor, filter: &Filter| {
        let mut tx = Tx::for_reader(&desk.store, actor).await.unwrap();
        let page = list(&mut tx, filter, &PageAsk { cursor: None, limit: 10 }).await.unwrap();
        page.rows.iter().map(|row| row.approval_id).collect::<Vec<_>>()
    };
    let mine = Filter { mine_to_decide: true, ..Filter::default() };
    assert_eq!(of(&desk.owner, &mine).await, [one.approval_id.0]);
    assert_eq!(of(&desk.second_owner, &mine).await, [two.approval_id.0, one.approval_id.0]);
    assert!(of(&desk.manager, &mine).await.is_empty());
    let rejected = Filter { state: Some(State::Rejected), ..Filter::default() };
    assert_eq!(of(&desk.manager, &rejected).await, [three.approval_id.0]);
    let by = Filter { requested_by: Some(desk.owner.actor_id), ..Filter::default() };
    assert_eq!(of(&desk.manager, &by).await, [two.approval_id.0]);

    let mut tx = Tx::for_reader(&desk.store, &desk.owner).await.unwrap();
    let page = list(&mut tx, &Filter::default(), &PageAsk { cursor: None, limit: 2 }).await.unwrap();
    let rest = list(&mut tx, &Filter::default(), &PageAsk { cursor: page.next, limit: 2 }).await.unwrap();
    assert_eq!((page.rows.len(), rest.rows.len(), rest.next.is_none()), (2, 1, true));
    let shown = detail(&mut tx, two.approval_id).await.unwrap();
    assert_eq!(shown.objection.unwrap().code, "maker");
}

#[tokio::test]
async fn what_was_asked_is_taken_back_by_its_makers_or_an_owner() {
    let desk = Desk::open().await;
    let other = person(&desk.db, desk.org, Role::Manager, &[desk.room]).await;
    let (asked, _) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &other).await.unwrap();
    assert!(matches!(withdraw(&mut tx, asked.approval_id, None).await, Err(StoreError::Refused(_))));
    drop(tx);
    let mut tx = Tx::for_actor(&desk.store, &desk.manager).await.unwrap();
    withdraw(&mut tx, asked.approval_id, Some("changed my mind")).await.unwrap();
    tx.commit().await.unwrap();
    assert!(desk.approve(&desk.owner, &asked).await.unwrap_err().contains("withdrawn already"));
    let (asked, _) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    withdraw(&mut tx, asked.approval_id, None).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn one_subject_waits_once_and_holds_what_it_says() {
    let desk = Desk::open().await;
    let (asked, job) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    for (request, why) in [
        (desk.request(job, 100, &json!({})), "waits for a decision already"),
        (desk.request(job, 999, &json!({})), "changed meanwhile"),
    ] {
        let mut inner = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
        match ask(&mut inner, &request).await {
            Err(StoreError::Refused(sentence)) => assert!(sentence.contains(why), "{sentence}"),
            other => panic!("{other:?}"),
        }
    }
    let mut wrong = desk.request(JobId::new(), 1, &json!({}));
    wrong.subject_kind = "job:reports.build".into();
    assert!(matches!(ask(&mut tx, &wrong).await, Err(StoreError::Refused(_))), "the job is of another kind");
    drop(tx);
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let decided =
        decide(&mut tx, asked.approval_id, Decision::Approve, asked.content_hash, None).await.unwrap();
    assert!(decided.released.is_some());
    let refused = tx.commit().await.unwrap_err();
    assert!(refused.to_string().contains("was not enqueued"), "{refused}");
    assert_eq!(desk.state(asked.approval_id).await, "pending", "approved and released are one");
    // Another payload than the one that was approved.
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let decided =
        decide(&mut tx, asked.approval_id, Decision::Approve, asked.content_hash, None).await.unwrap();
    let mut released = decided.released.unwrap();
    released.job = released.job.replace("100", "1000");
    let error = enqueue(&mut tx, &released).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "CS001", "{error}");
}

#[tokio::test]
async fn a_token_asks_in_its_makers_name() {
    let desk = Desk::open().await;
    let scopes = domain::Permissions::parse(&["approvals:request", "tokens:write"]).unwrap();
    let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
    let first = store::tokens::create(&mut tx, "first", scopes, None).await.unwrap();
    tx.commit().await.unwrap();
    let first = Actor::token(desk.org, first.actor_id, scopes);
    // Also through a token that a token made, and by editing.
    let mut tx = Tx::for_actor(&desk.store, &first).await.unwrap();
    let second = store::tokens::create(&mut tx, "second", scopes, None).await.unwrap();
    tx.commit().await.unwrap();
    let second = Actor::token(desk.org, second.actor_id, scopes);
    for token in [&first, &second] {
        let (asked, _) = desk.asked_by(token).await;
        let refused = desk.approve(&desk.owner, &asked).await.unwrap_err();
        assert!(refused.contains("does not decide"), "{refused}");
        assert_eq!(desk.approve(&desk.second_owner, &asked).await, Ok(true));
    }
    let (asked, job) = desk.asked_by(&desk.manager).await;
    let mut tx = Tx::for_actor(&desk.store, &first).await.unwrap();
    let edited = edit(&mut tx, asked.approval_id, desk.content(job, 200, &json!({}))).await.unwrap();
    tx.commit().await.unwrap();
    assert!(desk.approve(&desk.owner, &edited).await.unwrap_err().contains("does not decide"));
    assert_eq!(desk.approve(&desk.second_owner, &edited).await, Ok(true));
}

#[tokio::test]
async fn whoever_lost_the_room_or_the_account_meanwhile_does_not_count() {
    let desk = Desk::open().await;
    let spec = RuleSpec { roles: vec![Role::Owner, Role::Manager], needed: 2, ..RuleSpec::default() };
    rule(&desk, spec).await;
    for lost in [
        "DELETE FROM member_workspace WHERE actor_id = $1",
        "UPDATE account SET disabled_at = now()
         WHERE account_id = (SELECT account_id FROM member WHERE actor_id = $1)",
    ] {
        let gone = person(&desk.db, desk.org, Role::Manager, &[desk.room]).await;
        let third = person(&desk.db, desk.org, Role::Owner, &[]).await;
        let (asked, _) = desk.asked_by(&desk.owner).await;
        assert_eq!(desk.approve(&gone, &asked).await, Ok(false));
        desk.force(lost, gone.actor_id.0).await;
        assert_eq!(desk.approve(&desk.second_owner, &asked).await, Ok(false), "{lost}");
        assert_eq!(desk.approve(&third, &asked).await, Ok(true), "{lost}");
    }
}

#[tokio::test]
async fn a_replay_is_never_easier_to_approve_than_the_job() {
    let desk = Desk::open().await;
    let replay = |id: JobId| store::approvals::Ask {
        subject_kind: "job_replay".to_owned(),
        ..desk.request(id, 100, &json!({ "amount_minor": 100, "currency": "EUR" }))
    };
    let asked_under = async |lax: RuleSpec, strict: RuleSpec| {
        let mut tx = Tx::for_actor(&desk.store, &desk.owner).await.unwrap();
        put_rule(&mut tx, "job_replay", &lax).await.unwrap();
        put_rule(&mut tx, &format!("job:{PAYOUT}"), &strict).await.unwrap();
        let asked = ask(&mut tx, &replay(JobId::new())).await.unwrap();
        detail(&mut tx, asked.approval_id).await.unwrap().summary
    };
    let lax = RuleSpec { roles: vec![Role::Manager], maker_may_decide: true, ..RuleSpec::default() };
    let strict = RuleSpec { needed: 2, step_up_above: Some((100, "EUR".into())), ..RuleSpec::default() };
    let held = asked_under(lax.clone(), strict).await;
    assert_eq!((held.roles, held.needed), (vec!["owner".to_owned()], 2));
    assert!(held.step_up && !held.maker_may_decide);
    // What both allow stays; a stricter rule on replays holds as it is.
    let both = RuleSpec { roles: vec![Role::Owner, Role::Manager], ..RuleSpec::default() };
    let held = asked_under(RuleSpec { step_up: true, needed: 3, ..lax }, both).await;
    assert_eq!((held.roles, held.needed), (vec!["manager".to_owned()], 3));
    assert!(held.step_up && !held.maker_may_decide);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_a_replay_again_does_not_void_what_was_asked_a_moment_before() {
    let desk = std::sync::Arc::new(Desk::open().await);
    let job = JobId::new();
    let replay = |cents: i64| store::approvals::Ask {
        subject_kind: "job_replay".to_owned(),
        ..desk.request(job, cents, &json!({}))
    };
    // The subject is known from a time before.
    let mut tx = Tx::for_actor(&desk.store, &desk.manager).await.unwrap();
    let before = ask(&mut tx, &replay(1)).await.unwrap();
    tx.commit().await.unwrap();
    desk.reject(&desk.owner, &before, "no").await.unwrap();

    let mut tx = Tx::for_actor(&desk.store, &desk.manager).await.unwrap();
    store::approvals::renew(&mut tx, &replay(2)).await.unwrap();
    let first = ask(&mut tx, &replay(2)).await.unwrap();
    let (theirs, other) = (desk.clone(), replay(3));
    let second = tokio::spawn(async move {
        let mut tx = Tx::for_actor(&theirs.store, &theirs.second_owner).await.unwrap();
        store::approvals::renew(&mut tx, &other).await.unwrap();
        let asked = ask(&mut tx, &other).await;
        tx.commit_unrecorded("a test").await.ok();
        asked.map(|_| ())
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    tx.commit().await.unwrap();
    let second = second.await.unwrap();
    assert!(matches!(second, Err(StoreError::Refused(_))), "{second:?}");
    assert_eq!(desk.state(first.approval_id).await, "pending");
}
