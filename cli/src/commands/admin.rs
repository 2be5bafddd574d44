//! `countersign admin`: who may sign in to an organisation, from the machine itself. How the first owner comes to
//! be, and the way back in when no owner can sign in.

use std::io::{IsTerminal, Read};

use anyhow::Context;
use api::passwords;
use chrono::{DateTime, TimeDelta, Utc};
use domain::mail::MailAddress;
use domain::{AccountId, ActorId, Role};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::accounts::{self, NewAccount, resets};
use store::people::members::{self, Change, Filter};
use store::people::{PAGE_LIMIT, joining};
use store::{Tx, Workspaces, orgs};
use url::Url;

use crate::failure::usage;
use crate::operator::{InOrg, Operator};
use crate::output::Out;
use crate::table::Table;
use crate::when;

/// How long the link to set a first password works.
const LINK_LASTS: TimeDelta = TimeDelta::hours(24);
/// Longest password line read from standard input, in bytes.
const PASSWORD_BYTES: u64 = 4096;

/// What to do about people.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make somebody an owner, and the organisation if there is none. Prints a link to set a password,
    /// unless one is given
    CreateOwner(CreateOwner),
    /// List who belongs to an organisation
    List(InOrg),
}

/// Arguments of `create-owner`.
#[derive(clap::Args)]
pub(crate) struct CreateOwner {
    #[command(flatten)]
    org: InOrg,
    /// Name of the organisation, when it has to be made [default: its short name]
    #[arg(long, value_name = "NAME")]
    org_name: Option<String>,
    /// Address they sign in with
    #[arg(long)]
    email: String,
    /// Their name
    #[arg(long)]
    name: String,
    /// Language of their mails
    #[arg(long, default_value = "en", value_parser = ["en", "es", "ne", "ar"])]
    locale: String,
    /// Read their password from standard input: one line of 12 to 200 characters
    #[arg(long)]
    password_stdin: bool,
}

/// Runs one of them. Links lead to `public_url`.
pub(crate) async fn run(
    command: Command,
    operator: &Operator,
    public_url: &Url,
    out: Out,
) -> anyhow::Result<()> {
    match command {
        Command::CreateOwner(args) => Box::pin(create_owner(args, operator, public_url, out)).await,
        Command::List(org) => list(&org, operator, out).await,
    }
}

async fn create_owner(
    args: CreateOwner,
    operator: &Operator,
    public_url: &Url,
    out: Out,
) -> anyhow::Result<()> {
    let email = MailAddress::parse(&args.email).map_err(|error| usage(format!("--email: {error}")))?;
    let email = email.to_string().to_lowercase();
    check_name(&args.name)?;
    let password = args.password_stdin.then(|| password_from_stdin(&email, &args.name)).transpose()?;
    let slug = operator.slug(&args.org)?;
    let org_name = args.org_name.as_deref().unwrap_or(slug);
    let known = accounts::candidate(operator.store(), &email).await?;
    if password.is_some() && known.as_ref().is_some_and(|known| known.password_hash.is_some()) {
        return Err(usage(format!(
            "{email} has an account with a password already; leave --password-stdin out"
        )));
    }
    let org =
        orgs::ensure(operator.store(), slug, org_name).await.context("the organisation was not made")?;

    let now = Utc::now();
    let mut tx = operator.tx(org.org_id).await?;
    let hash = password.as_ref().map(passwords::hash).transpose()?;
    let account_id = match known {
        Some(known) => {
            accounts::also_as(&mut tx, known.account_id).await?;
            if let Some(hash) = &hash {
                accounts::set_password(&mut tx, hash, now).await?;
            }
            known.account_id
        }
        None => {
            let new = NewAccount {
                email: &email,
                name: &args.name,
                locale: &args.locale,
                password_hash: hash.as_deref(),
            };
            accounts::create(&mut tx, &new, now).await?
        }
    };
    let (actor_id, how) = make_owner(operator, &mut tx, account_id).await?;
    let needs_password = accounts::get(&mut tx).await?.password_hash.is_none();
    let link = if needs_password { Some(link(&mut tx, account_id, public_url, now).await?) } else { None };
    tx.commit().await?;

    out.json(&json!({
        "org": org.slug,
        "org_id": org.org_id,
        "actor_id": actor_id,
        "email": email,
        "how": how.word(),
        "link": link.as_ref().map(|(link, _)| link.as_str()),
        "link_expires_at": link.as_ref().map(|(_, until)| until),
    }))?;
    let what = match how {
        How::Joined => format!("is an owner now of {}", org.slug),
        How::Raised => format!("belonged to {} already and is an owner now", org.slug),
        How::Was => format!("is an owner of {} already", org.slug),
    };
    if let Some((link, until)) = link {
        if !out.is_json() {
            eprintln!("{email} {what}. The link sets a password, once, until {}:", when::shown(until));
        }
        // Alone on standard output, so that a script can take it.
        return out.say(link);
    }
    out.say(format_args!("{email} {what}"))
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = !name.trim().is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(usage("--name: must have 1 to 200 characters on one line, not only blanks"))
    }
}

/// How somebody came to be an owner.
#[derive(Clone, Copy)]
enum How {
    Joined,
    Raised,
    Was,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Raised => "raised",
            Self::Was => "was_owner",
        }
    }
}

async fn make_owner(operator: &Operator, tx: &mut Tx, account: AccountId) -> anyhow::Result<(ActorId, How)> {
    let org = tx.org_id();
    let all = accounts::memberships(operator.store(), account).await?;
    let Some(member) = all.into_iter().find(|member| member.org_id == org) else {
        let account = accounts::get(tx).await?;
        let actor = joining::join(tx, &account, Role::Owner, &Workspaces::All, "command line").await?;
        return Ok((actor, How::Joined));
    };
    if member.role == Role::Owner && !member.disabled {
        return Ok((member.actor_id, How::Was));
    }
    if member.disabled {
        members::enable(tx, member.actor_id).await?;
    }
    members::change(tx, member.actor_id, &Change { role: Some(Role::Owner), workspaces: None }).await?;
    Ok((member.actor_id, How::Raised))
}

async fn link(
    tx: &mut Tx,
    account: AccountId,
    public_url: &Url,
    now: DateTime<Utc>,
) -> anyhow::Result<(Url, DateTime<Utc>)> {
    let reset = resets::request_lasting(tx, account, None, LINK_LASTS, now).await?;
    let minted = resets::mint(tx, reset, now).await?;
    let mut link = public_url.join("/reset")?;
    link.set_fragment(Some(&format!("token={}", minted.token.expose_secret())));
    Ok((link, minted.expires_at))
}

fn password_from_stdin(email: &str, name: &str) -> anyhow::Result<SecretString> {
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        return Err(usage(
            "--password-stdin reads a pipe or a file, so that no password is shown on a terminal",
        ));
    }
    let mut text = String::new();
    input.by_ref().take(PASSWORD_BYTES).read_to_string(&mut text).context("standard input can't be read")?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    let password = SecretString::from(line.to_owned());
    passwords::check(&password, email, name).map_err(|why| usage(format!("the password {why}")))?;
    Ok(password)
}

async fn list(org: &InOrg, operator: &Operator, out: Out) -> anyhow::Result<()> {
    let org = operator.org(org).await?;
    let mut tx = operator.tx(org.org_id).await?;
    let (mut people, mut cursor) = (Vec::new(), None);
    loop {
        let page = members::list(&mut tx, &Filter::default(), cursor.as_deref(), PAGE_LIMIT).await?;
        people.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    out.json(&json!({ "org": org.slug, "people": people.iter().map(|person| json!({
        "actor_id": person.actor_id,
        "email": person.email,
        "name": person.name,
        "role": person.role.as_str(),
        "joined_at": person.joined_at,
        "disabled_at": person.disabled_at,
    })).collect::<Vec<_>>() }))?;
    let mut table = Table::new(&["ROLE", "EMAIL", "NAME", "JOINED", "STATE"]);
    for person in people {
        table.row([
            person.role.to_string(),
            person.email,
            person.name,
            when::shown(person.joined_at),
            if person.disabled_at.is_some() { "disabled" } else { "may sign in" }.to_owned(),
        ]);
    }
    out.table(&table, "nobody; `countersign admin create-owner` makes the first owner")
}
