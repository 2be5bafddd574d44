//! `countersign token`: API tokens. A secret is printed once, when it is made.

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use domain::{Permissions, TokenId};
use secrecy::ExposeSecret;
use serde_json::json;
use store::{orgs, tokens};

use crate::failure::{unconfirmed, usage};
use crate::operator::{InOrg, Operator};
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// What to do with tokens.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a token and print its secret, once
    Create(Create),
    /// List an organisation's tokens, without secrets
    List(InOrg),
    /// Stop a token for good. Without --yes only says which
    Revoke(Revoke),
}

/// Arguments of `create`.
#[derive(clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    org: InOrg,
    /// Make the organisation when there is none of that name
    #[arg(long)]
    create_org: bool,
    /// What people call the token
    #[arg(long, default_value = "command line")]
    name: String,
    /// What it may do: words such as jobs:read, jobs:write, dead:write (an unknown one lists them all), or *
    #[arg(long, value_delimiter = ',', default_value = "jobs:read,jobs:write")]
    scopes: Vec<String>,
    /// Days until it stops working by itself [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires_days: Option<u16>,
}

/// Arguments of `revoke`.
#[derive(clap::Args)]
pub(crate) struct Revoke {
    /// The token's id, from `token list`
    token: TokenId,
    #[command(flatten)]
    org: InOrg,
    /// Really do it
    #[arg(long)]
    yes: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, operator: &Operator, out: Out) -> anyhow::Result<()> {
    match command {
        Command::Create(args) => create(args, operator, out).await,
        Command::List(org) => list(&org, operator, out).await,
        Command::Revoke(args) => revoke(&args, operator, out).await,
    }
}

async fn create(args: Create, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let scopes = Permissions::parse(&args.scopes).map_err(|error| usage(error.to_string()))?;
    let org = if args.create_org {
        let slug = operator.slug(&args.org)?;
        orgs::ensure(operator.store(), slug, slug).await.context("the organisation was not made")?
    } else {
        operator.org(&args.org).await?
    };
    let expires_at = args.expires_days.map(|days| Utc::now() + TimeDelta::days(days.into()));
    let mut tx = operator.tx(org.org_id).await?;
    let token = tokens::create(&mut tx, &args.name, scopes, expires_at).await?;
    tx.commit().await?;
    out.json(&json!({
        "token_id": token.token_id,
        "token": token.secret.expose_secret(),
        "org": org.slug,
        "org_id": org.org_id,
        "name": args.name,
        "scopes": scopes.words(),
        "expires_at": expires_at,
    }))?;
    // The secret alone on standard output, so that a script can take it.
    out.say(token.secret.expose_secret())?;
    if !out.is_json() {
        eprintln!("token {} of {}: this is the only time its secret is shown", token.token_id, org.slug);
    }
    Ok(())
}

async fn list(org: &InOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?;
    let mut tx = operator.tx(org.org_id).await?;
    let tokens = tokens::list(&mut tx).await?;
    out.json(&json!({ "org": org.slug, "tokens": tokens.iter().map(|token| json!({
        "token_id": token.token_id,
        "name": token.name,
        "scopes": token.scopes.words(),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    })).collect::<Vec<_>>() }))?;
    let mut table = Table::new(&["ID", "NAME", "STATE", "CREATED", "LAST USED", "SCOPES"]);
    for token in tokens {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(_), _) => "revoked".to_owned(),
            (None, Some(at)) if at <= Utc::now() => "expired".to_owned(),
            (None, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
            (None, None) => "works".to_owned(),
        };
        table.row([
            token.token_id.to_string(),
            token.name,
            state,
            when::shown(token.created_at),
            when::shown_or_dash(token.last_used_at),
            token.scopes.words().join(","),
        ]);
    }
    out.table(&table, "no tokens; `countersign token create` makes one")
}

async fn revoke(args: &Revoke, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(&args.org).await?;
    let mut tx = operator.tx(org.org_id).await?;
    let known = tokens::list(&mut tx).await?.into_iter().find(|token| token.token_id == args.token);
    if let Some(at) = known.as_ref().and_then(|token| token.revoked_at) {
        out.json(&json!({ "token_id": args.token, "revoked": true, "revoked_at": at, "already": true }))?;
        return out.say(format_args!("was revoked already, at {}", when::shown(at)));
    }
    tokens::revoke(&mut tx, args.token).await?;
    if !args.yes {
        // The transaction is dropped: it has only shown that the token is there.
        let name = known.map_or_else(|| "a token".into(), |token| format!("“{}”", token.name));
        out.json(&json!({ "dry_run": true, "would": "revoke", "token_id": args.token }))?;
        out.say(format_args!("would revoke {name} ({}) of {}", args.token, org.slug))?;
        return Err(unconfirmed());
    }
    tx.commit().await?;
    out.json(&json!({ "token_id": args.token, "revoked": true }))?;
    out.say("revoked; running API processes stop taking it within seconds")
}
