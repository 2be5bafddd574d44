//! The main job at work: an event every two seconds, enqueued over HTTP with a token like anybody's, and
//! each delivery printed when it has arrived and its signature holds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::Client;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::console::Console;
use super::receiver::{Arrival, Incoming};
use super::seed::Seeded;

const EVERY: Duration = Duration::from_secs(2);
const SUMMARY_EVERY: Duration = Duration::from_secs(10);
/// What is under way when the demo ends may still arrive.
const LAST_WAIT: Duration = Duration::from_millis(500);
const EVENTS: [&str; 4] = ["order.paid", "order.shipped", "invoice.sent", "customer.created"];
const GREEN: u8 = 32;
const RED: u8 = 31;
const DIM: u8 = 2;

/// A client for loopback: never through a proxy.
pub(super) fn client() -> anyhow::Result<Client> {
    Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().context("no HTTP client")
}

/// Sends and shows events until told to stop.
pub(super) async fn run(
    api: &str,
    seeded: &Seeded,
    incoming: Incoming,
    console: &Console,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Incoming { url, mut arrivals } = incoming;
    let mut demo = Demo {
        api,
        seeded,
        hook: url,
        console,
        client: client()?,
        under_way: HashMap::new(),
        tally: Tally::default(),
    };
    let mut tick = tokio::time::interval(EVERY);
    let mut summary = tokio::time::interval_at(tokio::time::Instant::now() + SUMMARY_EVERY, SUMMARY_EVERY);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => demo.send().await,
            _ = summary.tick() => demo.summarise(),
            Some(arrival) = arrivals.recv() => demo.show(&arrival),
        }
    }
    let rest = async {
        while let Some(arrival) = arrivals.recv().await {
            demo.show(&arrival);
        }
    };
    let _ = tokio::time::timeout(LAST_WAIT, rest).await;
    demo.summarise();
    Ok(())
}

struct Demo<'a> {
    api: &'a str,
    seeded: &'a Seeded,
    hook: Url,
    console: &'a Console,
    client: Client,
    /// Events that were enqueued and have not arrived.
    under_way: HashMap<String, Instant>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    enqueued: usize,
    delivered: usize,
    took_ms: Vec<f64>,
}

impl Demo<'_> {
    async fn send(&mut self) {
        let number = self.tally.enqueued;
        let event_type = EVENTS.get(number % EVENTS.len()).copied().unwrap_or("order.paid");
        let event_id = format!("evt_{}", Uuid::now_v7().simple());
        let job = json!({
            "kind": "webhooks.deliver",
            "payload": {
                "url": self.hook,
                "event_id": event_id,
                "event_type": event_type,
                "data": { "number": number + 1, "amount_minor": 1250 + 10 * number, "currency": "EUR" },
            },
        });
        self.under_way.insert(event_id.clone(), Instant::now());
        let request = self
            .client
            .post(format!("{}/v1/jobs", self.api))
            .bearer_auth(self.seeded.token.expose_secret())
            .header("Idempotency-Key", &event_id)
            .json(&job);
        let failed = match request.send().await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.without_url().to_string()),
        };
        match failed {
            None => self.tally.enqueued += 1,
            Some(why) => {
                self.under_way.remove(&event_id);
                let text = format!("{} {event_type} was not enqueued: {why}", self.console.paint("✗", RED));
                self.console.event(&json!({ "event": "not_enqueued", "why": why }), &text);
            }
        }
    }

    fn show(&mut self, arrival: &Arrival) {
        let Arrival { event_id, event_type, verified, .. } = arrival;
        if !verified {
            let event = json!({ "event": "refused", "event_id": event_id, "type": event_type });
            let cross = self.console.paint("✗", RED);
            self.console
                .event(&event, &format!("{cross} {event_type} {event_id}: the signature does not hold"));
            return;
        }
        // One of an earlier run, or a repeat: nobody knows since when.
        let took =
            self.under_way.remove(event_id).map(|sent| arrival.at.duration_since(sent).as_secs_f64() * 1e3);
        let within = match took {
            Some(took) => {
                self.tally.delivered += 1;
                self.tally.took_ms.push(took);
                format!("delivered in {took:.0} ms")
            }
            None => "delivered again".into(),
        };
        let tick = self.console.paint("✓", GREEN);
        let event = json!({
            "event": "delivered", "event_id": event_id, "type": event_type, "took_ms": took, "verified": true,
        });
        self.console.event(&event, &format!("{tick} {event_type} {event_id} {within}, signature verified"));
    }

    fn summarise(&mut self) {
        let tally = &mut self.tally;
        tally.took_ms.sort_by(f64::total_cmp);
        let p50 = tally.took_ms.get(tally.took_ms.len().saturating_sub(1) / 2).copied();
        let event = json!({
            "event": "summary", "enqueued": tally.enqueued, "delivered": tally.delivered, "p50_ms": p50,
        });
        let p50 = p50.map_or_else(|| "-".into(), |ms| format!("{ms:.0} ms"));
        let text = format!("— {} enqueued, {} delivered, p50 {p50}", tally.enqueued, tally.delivered);
        self.console.event(&event, &self.console.paint(&text, DIM));
    }
}
