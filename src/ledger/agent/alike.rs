//! Actions of one command, which as a rule differ in their alert alone: what
//! they have in common is kept in memory once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Action, CommandName};

/// Commands that are remembered: more than anybody writes into a configuration.
const COMMANDS: usize = 256;

/// The last action of each command.
#[derive(Debug, Default)]
pub struct Alike(HashMap<CommandName, Arc<Action>>);

impl Alike {
    /// Has `action` share what it has in common with the last one of its command.
    pub fn share(&mut self, action: &mut Arc<Action>) {
        if let Some(last) = self.0.get(&action.command) {
            let own = Arc::make_mut(action);
            share(&mut own.command, &last.command);
            share(&mut own.executable, &last.executable);
            share(&mut own.agent, &last.agent);
            share(&mut own.rule, &last.rule);
            share(&mut own.repeated_offenders, &last.repeated_offenders);
        } else if self.0.len() >= COMMANDS {
            return;
        }
        self.0.insert(action.command.clone(), Arc::clone(action));
    }
}

/// A clone shares its text.
fn share<T: Clone + PartialEq>(own: &mut T, other: &T) {
    if own == other {
        own.clone_from(other);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Alike;
    use crate::model::action::sample;
    use crate::model::{Action, CommandName};

    /// As it is read: with nothing in common with another.
    fn read(number: u8) -> Arc<Action> {
        let text = serde_json::to_string(&sample::action(number, "firewall-drop", None)).unwrap();
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn what_two_actions_have_in_common_is_in_memory_once_and_the_rest_is_left() {
        let (mut first, mut second) = (read(1), read(2));
        let wanted = Action::clone(&second);
        let mut alike = Alike::default();
        alike.share(&mut first);
        alike.share(&mut second);
        let rules = [&first, &second].map(|action| action.rule.clone().unwrap());
        assert!(Arc::ptr_eq(&rules[0], &rules[1]));
        assert!(Arc::ptr_eq(&first.agent.name, &second.agent.name));
        assert_eq!(*second, wanted);
        let mut other = read(3);
        let name = CommandName::parse("another").unwrap();
        Arc::get_mut(&mut other).unwrap().command = name.clone();
        alike.share(&mut other);
        assert_eq!(other.command, name);
    }
}
