//! `countersign probe`: a health check for places without curl.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use url::Url;

use crate::output::Out;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to ask, such as http://127.0.0.1:8080/readyz
    url: Url,
    /// Longest wait for an answer
    #[arg(long, default_value = "5s", value_parser = crate::when::length)]
    timeout: Duration,
}

/// Succeeds when the answer is 2xx.
pub(crate) async fn run(args: &Args, out: Out) -> anyhow::Result<()> {
    // Never through a proxy: the question is whether that address answers.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(args.timeout)
        .build()
        .context("no HTTP client")?;
    let answer = client.get(args.url.clone()).send().await;
    let answer = answer
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("{} does not answer", args.url))?;
    let status = answer.status();
    out.json(&json!({ "url": args.url, "status": status.as_u16() }))?;
    if !status.is_success() {
        bail!("{} answered {status}", args.url);
    }
    out.say(format_args!("{} answered {status}", args.url))
}
