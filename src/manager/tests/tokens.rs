//! Tokens that are shown and made void.

use super::scene::Scene;
use crate::clock;
use crate::journal::roster::RosterReader;
use crate::model::AgentId;
use crate::roster::Change;
use crate::wire::control::{Answer, Request, TokenWish, UsableToken, WhichTokens};
use crate::wire::enroll::{Secret, TokenId};

fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 8])
}

impl Scene {
    /// Makes a token for the agent with this id, or for any two.
    fn issue(&mut self, number: u8, agent: Option<u32>) {
        let wish = TokenWish {
            id: agent.map(|agent| AgentId::from_number(agent).unwrap()),
            name: None,
            groups: Vec::new(),
            uses: if agent.is_some() { 1 } else { 2 },
            ttl: 600,
        };
        let random = (token(number), Secret::from_bytes([number; 16]));
        let roster = &mut self.manager.roster;
        let (_, changes) = roster.issue(&wish, random, clock::wall()).unwrap();
        self.manager.enrolled.append(changes);
    }

    async fn told(&mut self, request: Request) -> Answer {
        let answer = self.ask(request).await;
        self.settle().await;
        answer.await.unwrap()
    }

    async fn tokens(&mut self, request: Request) -> Vec<TokenId> {
        let Answer::Usable { tokens } = self.told(request).await else {
            panic!("no tokens");
        };
        tokens.iter().map(|one: &UsableToken| one.token).collect()
    }

    async fn revoked(&mut self, agent: u32) -> Result<String, String> {
        let agent = AgentId::from_number(agent).unwrap();
        match self.told(Request::Revoke { agent }).await {
            Answer::Done { text } => Ok(text),
            Answer::Error { text, .. } => Err(text),
            other => panic!("{other:?}"),
        }
    }

    /// The tokens that a restart would find.
    fn stored(&self) -> Vec<TokenId> {
        let path = self.folder.path().join("queue/agents.db");
        let rows = RosterReader::open(&path).unwrap().rows().unwrap();
        let rows = rows.into_iter().filter_map(|row| match row {
            Change::Token(row) => Some(row.id),
            _ => None,
        });
        rows.collect()
    }
}

#[tokio::test]
async fn a_token_is_shown_until_it_is_void_and_is_void_for_good() {
    let mut scene = Scene::new();
    scene.issue(1, None);
    scene.issue(2, Some(7));
    scene.issue(3, None);
    let all = [token(1), token(2), token(3)];
    assert_eq!(scene.tokens(Request::EnrollList).await, all);
    let tokens = WhichTokens::Ids(vec![token(1), token(9)]);
    let request = Request::EnrollRevoke { tokens };
    assert_eq!(scene.tokens(request.clone()).await, [token(1)]);
    assert_eq!(scene.stored(), all[1..]);
    assert_eq!(scene.tokens(Request::EnrollList).await, all[1..]);
    assert_eq!(scene.tokens(request).await, []);
    let tokens = WhichTokens::All;
    let request = Request::EnrollRevoke { tokens };
    assert_eq!(scene.tokens(request).await, all[1..]);
    assert_eq!(scene.stored(), []);
}

#[tokio::test]
async fn a_revocation_makes_the_agents_token_void_and_tells_of_open_ones() {
    let mut scene = Scene::with_agents(1);
    let text = scene.revoked(1).await.unwrap();
    assert!(!text.contains("token"), "{text}");
    scene.issue(1, Some(1));
    scene.issue(2, None);
    let text = scene.revoked(1).await.unwrap();
    assert!(text.contains("token for its id is void"), "{text}");
    assert!(text.contains("any host may still enroll: 1"), "{text}");
    assert_eq!(scene.stored(), [token(2)]);
    let refused = scene.revoked(1).await.unwrap_err();
    assert!(refused.contains("already"), "{refused}");
}
