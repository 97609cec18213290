//! Blocks at Cloudflare, in front of the sites of a zone or an account: its IP
//! Access rules.
//!
//! Each rule of ours says so in its notes, with the number of the home that
//! made it and the target. A rule with other notes is somebody else's and stays
//! as it is; so is one whose notes were changed since.

mod api;
mod mark;
mod rule;

use ipnetwork::IpNetwork;

use crate::ar::cloudflare::api::{Api, Created, Scope};
use crate::ar::cloudflare::rule::{Rule, name};
use crate::ar::http::Secret;
use crate::ar::{Done, Fail};
use crate::model::bundled::Options;
use crate::model::{InvalidUrl, Url};

/// Where Cloudflare's API is.
const SERVICE: &str = "https://api.cloudflare.com/client/v4";

/// Why a rule is not as it should be.
#[derive(Debug, thiserror::Error)]
enum CloudflareError {
    #[error("read the URL of --api")]
    Url(#[source] InvalidUrl),
    #[error(
        "find the rule for {0} that was just made\n(something else takes rules away at Cloudflare, or the API did not keep it)"
    )]
    Lost(String),
    #[error(
        "make a rule for {0}: the API says that there is one, and shows none\n(see the IP access rules in the dashboard)"
    )]
    Hidden(String),
    #[error("take the rule for {0} away: it is still there")]
    Stays(String),
}

/// Blocks a target, and looks whether it is blocked.
pub fn add(target: IpNetwork, options: &Options) -> Result<Done, Fail> {
    let scope = match scope(target, options) {
        Ok(scope) => scope,
        Err(why) => return Ok(Done::refused(why)),
    };
    let mark = mark::made(target)?;
    let api = open(scope, target, options)?;
    match api.create(&mark)? {
        Created::New(id) => match api.look_at(&id)? {
            Some(rule) if rule.is_ours(&mark) && rule.blocks() => Ok(Done::applied()),
            Some(_) | None => Err(CloudflareError::Lost(name(target)).into()),
        },
        Created::Duplicate => {
            let rules = api.rules(&mark)?;
            let ours = rules.iter().find(|rule| rule.is_ours(&mark));
            match ours.or(rules.first()) {
                Some(rule) => Ok(found(rule, &mark, target)),
                None => Err(CloudflareError::Hidden(name(target)).into()),
            }
        }
    }
}

/// Takes our rule for a target away.
pub fn delete(target: IpNetwork, options: &Options) -> Result<Done, Fail> {
    // Without a number this home has never made a rule.
    let Some(mark) = mark::known(target)? else {
        return Ok(Done::absent());
    };
    let scope = match scope(target, options) {
        Ok(scope) => scope,
        Err(why) => return Ok(Done::refused(why)),
    };
    let api = open(scope, target, options)?;
    let mut ours = api.rules(&mark)?;
    ours.retain(|rule| rule.is_ours(&mark));
    if ours.is_empty() {
        return Ok(Done::absent());
    }
    for rule in &ours {
        api.delete(rule)?;
    }
    match api.rules(&mark)?.iter().any(|rule| rule.is_ours(&mark)) {
        true => Err(CloudflareError::Stays(name(target)).into()),
        false => Ok(Done::reverted()),
    }
}

/// What a rule that was there before means for an `add`.
fn found(rule: &Rule, mark: &str, target: IpNetwork) -> Done {
    if rule.is_ours(mark) && rule.blocks() {
        return Done::in_place();
    }
    let detail = rule.described(mark);
    match rule.allows() {
        true => Done::refused(format!("refused {}: Cloudflare has {detail}", name(target))),
        false => Done::already(format!("Cloudflare has {detail}")),
    }
}

/// Which rules are meant, or why none can be. Nobody has been asked so far.
fn scope<'a>(target: IpNetwork, options: &'a Options) -> Result<Scope<'a>, String> {
    let invalid = |why: &str| Err(format!("Invalid extra_args: {why}"));
    let is_blockable = match target {
        IpNetwork::V4(_) => [16, 24, 32].contains(&target.prefix()),
        IpNetwork::V6(_) => [32, 48, 64, 128].contains(&target.prefix()),
    };
    if !is_blockable {
        return Err(format!(
            "refused {target}: Cloudflare blocks networks of /16 and /24, and in IPv6 of /32, /48 and /64"
        ));
    }
    match (options.get("--zone"), options.get("--account")) {
        (Some(zone), None) => Ok(Scope::Zone(zone)),
        (None, Some(account)) => Ok(Scope::Account(account)),
        (None, None) => invalid("one of --zone and --account is missing"),
        (Some(_), Some(_)) => invalid("--zone and --account exclude each other"),
    }
}

fn open(scope: Scope<'_>, target: IpNetwork, options: &Options) -> Result<Api, Fail> {
    let file = options.get("--token-file").unwrap_or_default();
    let token = Secret::read(file.as_ref())?;
    let base = options.get("--api").unwrap_or(SERVICE);
    let base = Url::parse(base).map_err(CloudflareError::Url)?;
    Ok(Api::new(&base, scope, target, (token, options))?)
}
