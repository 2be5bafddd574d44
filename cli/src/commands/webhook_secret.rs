//! `countersign webhook-secret`: what a subscriber needs to verify the events it gets.

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use serde_json::json;
use url::Url;
use workers::DerivedSecrets;

use crate::config::Config;
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
    if config.webhook_keys.is_empty() {
        bail!(
            "COUNTERSIGN_WEBHOOK_KEYS is not set; set it as the workers have it, for example from `openssl rand -hex 32`"
        );
    }
    let secrets =
        DerivedSecrets::new(&config.webhook_keys).context("COUNTERSIGN_WEBHOOK_KEYS can't be used")?;
    let operator = Operator::connect(config).await?;
    let org = operator.org(&args.org).await?;
    let secrets = secrets.of(org.org_id, &args.url);
    let secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    out.json(&json!({ "org": org.slug, "url": args.url, "secrets": secrets }))?;
    secrets.iter().try_for_each(|secret| out.say(secret))
}
