//! Cloudflare's API of IP Access rules (developers.cloudflare.com/api,
//! `/zones/ID/firewall/access_rules/rules`, the same below `/accounts/ID`), as
//! much of it as is needed.

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::ar::cloudflare::rule::{Rule, RuleId, kind, value};
use crate::ar::http::{Answer, Client, HttpError, Request, Secret, StatusCode, Verb, summary};
use crate::model::Url;
use crate::model::bundled::Options;

/// How the API says that there is a rule for this target.
const DUPLICATE_CODE: i64 = 10_009;
const DUPLICATE_WORD: &str = "duplicate_of_existing";

/// Why the API did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{action} at {to}: it answered {answer}\n({hint})")]
    Refused {
        action: &'static str,
        to: String,
        answer: String,
        hint: &'static str,
    },
    #[error("{action} at {to}: its answer is not one of Cloudflare's API\n(is --api right?)")]
    Unknown {
        action: &'static str,
        to: String,
        #[source]
        source: serde_json::Error,
    },
}

/// Whose rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    Zone(&'a str),
    Account(&'a str),
}

/// What has become of an order to make a rule.
#[derive(Debug)]
pub(super) enum Created {
    New(RuleId),
    /// There is one for the same target, of whomever.
    Duplicate,
}

/// The answer to everything.
#[derive(Debug, Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    errors: Vec<Problem>,
    #[serde(default)]
    result: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

/// The rules of a zone or an account, seen with one target in mind.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    rules: Url,
    token: Secret,
    target: IpNetwork,
}

impl Api {
    pub(super) fn new(
        base: &Url,
        scope: Scope<'_>,
        target: IpNetwork,
        (token, options): (Secret, &Options),
    ) -> Result<Self, ApiError> {
        let scope = match scope {
            Scope::Zone(id) => format!("/zones/{id}"),
            Scope::Account(id) => format!("/accounts/{id}"),
        };
        Ok(Self {
            client: Client::new(base, options)?,
            rules: base.below(&format!("{scope}/firewall/access_rules/rules")),
            token,
            target,
        })
    }

    /// Makes a rule that blocks the target.
    pub(super) fn create(&self, notes: &str) -> Result<Created, ApiError> {
        const ACTION: &str = "make a rule";
        let rule = json!({
            "mode": "block",
            "configuration": {"target": kind(self.target), "value": value(self.target)},
            "notes": notes,
        });
        let (status, envelope) = self.ask(ACTION, Verb::Post(rule.to_string()), "")?;
        if envelope.errors.iter().any(Problem::is_duplicate) {
            return Ok(Created::Duplicate);
        }
        let rule: Rule = self.result(ACTION, status, envelope)?;
        Ok(Created::New(rule.id))
    }

    /// The rule with this id, if it is there and for the target.
    pub(super) fn look_at(&self, id: &RuleId) -> Result<Option<Rule>, ApiError> {
        const ACTION: &str = "look at a rule";
        let (status, envelope) = self.ask(ACTION, Verb::Get, &format!("/{}", id.as_str()))?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let rule: Rule = self.result(ACTION, status, envelope)?;
        Ok(Some(rule).filter(|rule| rule.is_for(self.target)))
    }

    /// All rules for the target. The documents promise a search by value for
    /// IPv4 only, so where it shows none of ours they are searched for by their
    /// notes.
    pub(super) fn rules(&self, mark: &str) -> Result<Vec<Rule>, ApiError> {
        let (kind, value) = (kind(self.target), value(self.target));
        let by_value = format!("configuration.target={kind}&configuration.value={value}");
        let mut rules = self.search(&by_value)?;
        if !rules.iter().any(|rule| rule.is_ours(mark)) {
            let by_notes = self.search(&format!("notes={}", mark.replace(' ', "%20")))?;
            rules.extend(by_notes.into_iter().filter(|rule| rule.is_ours(mark)));
        }
        Ok(rules)
    }

    fn search(&self, query: &str) -> Result<Vec<Rule>, ApiError> {
        const ACTION: &str = "search for rules";
        let below = format!("?per_page=50&match=all&{query}");
        let (status, envelope) = self.ask(ACTION, Verb::Get, &below)?;
        let mut rules: Vec<Rule> = self.result(ACTION, status, envelope)?;
        rules.retain(|rule| rule.is_for(self.target));
        Ok(rules)
    }

    /// Takes a rule away. One that is gone already is as good.
    pub(super) fn delete(&self, rule: &Rule) -> Result<(), ApiError> {
        const ACTION: &str = "take a rule away";
        let (status, envelope) =
            self.ask(ACTION, Verb::Delete, &format!("/{}", rule.id.as_str()))?;
        if status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        self.result::<serde_json::Value>(ACTION, status, envelope)?;
        Ok(())
    }

    fn ask(
        &self,
        action: &'static str,
        method: Verb,
        below: &str,
    ) -> Result<(StatusCode, Envelope), ApiError> {
        let url = match below.starts_with('?') {
            true => self.rules.with_query(below),
            false => self.rules.below(below),
        };
        let answer = self.client.send(&Request {
            method,
            url: &url,
            token: Some(&self.token),
        })?;
        self.envelope(action, answer)
    }

    /// What is not the API's own, such as the page of a proxy, counts as an
    /// error of its status.
    fn envelope(
        &self,
        action: &'static str,
        answer: Answer,
    ) -> Result<(StatusCode, Envelope), ApiError> {
        let status = answer.status();
        let body = answer.body()?;
        match serde_json::from_slice(&body) {
            Ok(envelope) => Ok((status, envelope)),
            Err(source) if status.is_success() => Err(self.unknown(action, source)),
            Err(_) => Err(self.refused(action, status, &String::from_utf8_lossy(&body))),
        }
    }

    fn result<T: DeserializeOwned>(
        &self,
        action: &'static str,
        status: StatusCode,
        envelope: Envelope,
    ) -> Result<T, ApiError> {
        if !status.is_success() || !envelope.success {
            let said: Vec<_> = envelope.errors.iter().map(Problem::described).collect();
            return Err(self.refused(action, status, &said.join("; ")));
        }
        serde_json::from_value(envelope.result).map_err(|why| self.unknown(action, why))
    }

    fn refused(&self, action: &'static str, status: StatusCode, said: &str) -> ApiError {
        ApiError::Refused {
            action,
            to: self.rules.to_string(),
            answer: summary(status, said),
            hint: hint(status),
        }
    }

    fn unknown(&self, action: &'static str, source: serde_json::Error) -> ApiError {
        let to = self.rules.to_string();
        ApiError::Unknown { action, to, source }
    }
}

impl Problem {
    fn is_duplicate(&self) -> bool {
        self.code == DUPLICATE_CODE || self.message.contains(DUPLICATE_WORD)
    }

    fn described(&self) -> String {
        format!("{} ({})", self.message, self.code)
    }
}

/// What to do about an answer.
fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => "redirects are not followed: write the URL that it leads to",
        401 | 403 => {
            "the token needs Firewall Services: Edit for a zone, Account Firewall Access Rules: Edit for an account"
        }
        404 => "does the token see the zone or account with this id?",
        429 => "Cloudflare answers 1,200 requests in five minutes: let fewer alerts lead here",
        400..=499 => "is the token right, and the id that of a zone or an account?",
        _ => "the service has a problem of its own: see its status page",
    }
}
