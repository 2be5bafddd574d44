#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::TimeDelta;
use http::HeaderMap;
use secrecy::ExposeSecret;
use standardwebhooks::Webhook;

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1","type":"payout.paid"}"#;
const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn ask(
    provider: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    secrets: &[&str],
    now: DateTime<Utc>,
) -> Result<String, Refusal> {
    let secrets: Vec<SecretString> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
    let header = |name: &str| {
        let mut found = headers.iter().filter(|(known, _)| *known == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(*value)
    };
    let arrival = Arrival { header: &header, body };
    scheme(provider).unwrap().verify(&arrival, &secrets, now, FIVE_MINUTES)
}

/// What the official library signs, and what the published example says.
#[test]
fn standard_takes_what_the_official_library_signs() {
    let secret = scheme("standard").unwrap().make_secret().unwrap();
    let other = scheme("standard").unwrap().make_secret().unwrap();
    let signer = Webhook::new(secret.expose_secret()).unwrap();
    let now = Utc::now().timestamp();
    let signature = signer.sign("msg_1", now, BODY).unwrap();
    let time = now.to_string();
    let headers =
        [("webhook-id", "msg_1"), ("webhook-timestamp", time.as_str()), ("webhook-signature", &signature)];
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    signer.verify(BODY, &map).unwrap();
    for secrets in [vec![secret.expose_secret()], vec![other.expose_secret(), secret.expose_secret()]] {
        assert_eq!(ask("standard", &headers, BODY, &secrets, at(now)), Ok("msg_1".into()));
    }
    assert_eq!(ask("standard", &headers, BODY, &[other.expose_secret()], at(now)), Err(Refusal::Wrong));
    assert_eq!(ask("standard", &headers, BODY, &[], at(now)), Err(Refusal::Wrong));

    let published = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let secret = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    let body = br#"{"test": 2432232314}"#;
    let id = ask("standard", &published, body, &secret, at(1_614_265_330));
    assert_eq!(id, Ok("msg_p5jXN8AQM9LWM0D4loKWxJek".into()));
    // Among codes of other versions and other secrets.
    let list = format!("v1a,AAAA v2,BBBB v1,!!!! v1,{} {}", "A".repeat(43) + "=", published[2].1);
    let many = [published[0], published[1], ("webhook-signature", list.as_str())];
    assert!(ask("standard", &many, body, &secret, at(1_614_265_330)).is_ok());
}

#[test]
fn whatever_is_changed_on_the_way_is_refused() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let signature = Webhook::new(secret).unwrap().sign("msg_1", 1_700_000_000, BODY).unwrap();
    let good =
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &signature)];
    let now = at(1_700_000_000);
    assert!(ask("standard", &good, BODY, &[secret], now).is_ok());
    for place in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[place] ^= 1;
        assert_eq!(ask("standard", &good, &body, &[secret], now), Err(Refusal::Wrong), "byte {place}");
    }
    assert_eq!(ask("standard", &good, &BODY[1..], &[secret], now), Err(Refusal::Wrong));
    let flipped = signature.replacen("v1,", "v1,A", 1);
    for (name, value, why) in [
        ("webhook-id", "msg_2", Refusal::Wrong),
        ("webhook-id", "", Refusal::Malformed),
        ("webhook-id", "msg.1", Refusal::Malformed),
        ("webhook-timestamp", "1700000001", Refusal::Wrong),
        ("webhook-timestamp", "+1700000000", Refusal::Malformed),
        ("webhook-timestamp", " 1700000000", Refusal::Malformed),
        ("webhook-timestamp", "1700000000.0", Refusal::Malformed),
        ("webhook-timestamp", "", Refusal::Malformed),
        ("webhook-timestamp", "1699999699", Refusal::Stale),
        ("webhook-timestamp", "1700000301", Refusal::Stale),
        ("webhook-timestamp", "999999999999999", Refusal::Stale),
        ("webhook-signature", "", Refusal::Wrong),
        ("webhook-signature", "v1,", Refusal::Wrong),
        ("webhook-signature", flipped.as_str(), Refusal::Wrong),
        ("webhook-signature", &signature[3..], Refusal::Wrong),
    ] {
        let headers = good.map(|(known, old)| (known, if known == name { value } else { old }));
        assert_eq!(ask("standard", &headers, BODY, &[secret], now), Err(why), "{name}: {value}");
        let without: Vec<_> = good.into_iter().filter(|(known, _)| *known != name).collect();
        assert_eq!(ask("standard", &without, BODY, &[secret], now), Err(Refusal::Unsigned), "no {name}");
        let mut twice = good.to_vec();
        twice.push((name, value));
        assert_eq!(ask("standard", &twice, BODY, &[secret], now), Err(Refusal::Unsigned), "{name} twice");
    }
}

#[test]
fn the_time_may_lie_five_minutes_off_either_way_and_no_more() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let signature = Webhook::new(secret).unwrap().sign("msg_1", 1_700_000_000, BODY).unwrap();
    let headers =
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &signature)];
    let signed = at(1_700_000_000);
    for (off, fine) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        let answer = ask("standard", &headers, BODY, &[secret], signed + TimeDelta::seconds(off));
        assert_eq!(answer.is_ok(), fine, "{off}");
        assert!(fine || answer == Err(Refusal::Stale));
    }
}

/// Computed with `openssl dgst -sha256 -hmac` over `1700000000.` and the body.
const STRIPE_SECRET: &str = "whsec_test_secret_of_32_characters";
const STRIPE_CODE: &str = "016b31554fb24e383437ec1397fc0b86ebfd176d25fc0c9e42b262e29c5d74a2";

#[test]
fn stripe_takes_codes_that_were_computed_elsewhere() {
    let now = at(1_700_000_000);
    let good = format!("t=1700000000,v1={STRIPE_CODE}");
    let of = |header: &str, body: &[u8], secrets: &[&str], now| {
        ask("stripe", &[("stripe-signature", header)], body, secrets, now)
    };
    assert_eq!(of(&good, BODY, &[STRIPE_SECRET], now), Ok("evt_1".into()));
    assert_eq!(of(&good, BODY, &["whsec_another_secret_of_stripe", STRIPE_SECRET], now), Ok("evt_1".into()));
    let wrong = "0".repeat(64);
    for header in [
        format!("t=1700000000,v1={wrong},v1={STRIPE_CODE},v0={wrong}"),
        format!("t=1700000000, v1={STRIPE_CODE}"),
        format!("v1={STRIPE_CODE},t=1700000000"),
    ] {
        assert!(of(&header, BODY, &[STRIPE_SECRET], now).is_ok(), "{header}");
    }
    for (header, why) in [
        (format!("t=1700000001,v1={STRIPE_CODE}"), Refusal::Wrong),
        (format!("t=1700000000,v1={wrong}"), Refusal::Wrong),
        (format!("t=1700000000,v0={STRIPE_CODE}"), Refusal::Wrong),
        ("t=1700000000,v1=zz".to_owned(), Refusal::Wrong),
        ("t=1700000000".to_owned(), Refusal::Wrong),
        (format!("v1={STRIPE_CODE}"), Refusal::Malformed),
        (format!("t=1700000000,t=1700000000,v1={STRIPE_CODE}"), Refusal::Malformed),
        (format!("t=-1700000000,v1={STRIPE_CODE}"), Refusal::Malformed),
        ("nonsense".to_owned(), Refusal::Malformed),
        (String::new(), Refusal::Malformed),
        (format!("t=1600000000,v1={STRIPE_CODE}"), Refusal::Stale),
    ] {
        assert_eq!(of(&header, BODY, &[STRIPE_SECRET], now), Err(why), "{header}");
    }
    assert_eq!(of(&good, b"{}", &[STRIPE_SECRET], now), Err(Refusal::Wrong));
    assert_eq!(of(&good, BODY, &[STRIPE_SECRET], now + TimeDelta::seconds(301)), Err(Refusal::Stale));
    assert_eq!(ask("stripe", &[], BODY, &[STRIPE_SECRET], now), Err(Refusal::Unsigned));
}

#[test]
fn a_stripe_body_without_an_id_is_known_by_its_hash() {
    let sign = |body: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, STRIPE_SECRET.as_bytes());
        let code = hmac::sign(&key, &[b"1700000000.", body].concat());
        format!("t=1700000000,v1={}", hex::encode(code.as_ref()))
    };
    for body in [&b"not json"[..], b"{}", br#"{"id":7}"#, br#"{"id":""}"#, br#"{"id":"a b"}"#, b"\xff\x00"] {
        let header = sign(body);
        let id = ask("stripe", &[("stripe-signature", &header)], body, &[STRIPE_SECRET], at(1_700_000_000));
        assert!(id.as_ref().is_ok_and(|id| id.starts_with("sha256:") && id.len() == 71), "{id:?}");
    }
}

#[test]
fn secrets_are_checked_when_they_are_given() {
    for (provider, good, bad) in [
        (
            "standard",
            vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            vec!["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_aGVsbG8=", "whsec_***"],
        ),
        (
            "stripe",
            vec![STRIPE_SECRET],
            vec!["", "whsec_", "sk_live_1234567890123456", "whsec_a b c d e f g h i"],
        ),
    ] {
        let scheme = scheme(provider).unwrap();
        for secret in good {
            assert!(scheme.check_secret(&secret.into()).is_ok(), "{secret}");
        }
        for secret in bad {
            assert!(scheme.check_secret(&secret.into()).is_err(), "{secret}");
        }
    }
    assert!(scheme("paypal").is_none() && providers() == "standard, stripe");
}
