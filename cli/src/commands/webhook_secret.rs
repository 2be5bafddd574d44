//! `countersign webhook-secret`: what a subscriber needs to verify the events it gets.

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;
use workers::DerivedSecrets;

use crate::config::Config;
use crate::dev::home::Home;
use crate::operator::{InOrg, Operator};
use crate::output::Out;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The endpoint's URL; all paths of one host and port share a secret
    url: Url,
    #[command(flatten)]
    org: InOrg,
}

/// Prints the secrets, newest first; several while a key is being rotated.
pub(crate) async fn run(args: &Args, config: Config, out: Out) -> anyhow::Result<()> {
    let mut keys = config.webhook_keys.clone();
    if keys.is_empty() && config.database_url.is_none() {
        let running = Home::running_here()?;
        keys = running.into_iter().flat_map(|running| running.webhook_keys).map(SecretString::from).collect();
    }
    if keys.is_empty() {
        bail!("COUNTERSIGN_WEBHOOK_KEYS is not set; set it as the workers have it");
    }
    let secrets = DerivedSecrets::new(&keys).context("COUNTERSIGN_WEBHOOK_KEYS can't be used")?;
    let operator = Operator::connect(config).await?;
    let org = operator.org(&args.org).await?;
    let secrets = secrets.of(org.org_id, &args.url);
    let secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    out.json(&json!({ "org": org.slug, "url": args.url, "secrets": secrets }))?;
    secrets.iter().try_for_each(|secret| out.say(secret))
}
