//! Times in what a client says in two roles: to the millisecond they are as good as a name.

use std::collections::{BTreeSet, HashMap};

use super::Finding;
use super::log::Event;
use super::truth::Persona;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// What is joined by equal times, or by times some whole days apart as those of an expiry are. Whole hours tell nothing
/// that the arrival does not. Two people may do something in the same millisecond: only what joins the roles of one
/// counts, which is what an observer finds among few candidates.
pub(super) fn findings(events: &[Event]) -> Vec<Finding> {
    let mut said: HashMap<(usize, u64), Vec<(Persona, &Event)>> = HashMap::new();
    let (mut findings, mut found) = (Vec::new(), BTreeSet::new());
    for event in events {
        let numbers = event.numbers.iter().filter(|number| *number % HOUR != 0);
        for number in numbers.map(|number| number % DAY) {
            for who in event.personas.iter().copied() {
                let earlier = said.entry((client(who), number)).or_default();
                let other = earlier.iter().find(|(other, _)| *other != who);
                if let Some((other, before)) = other
                    && found.insert([*other, who])
                {
                    findings.push(Finding {
                        relays: BTreeSet::from([before.relay, event.relay]),
                        joined: [*other, who],
                        chain: vec![before.describe(), event.describe()],
                    });
                }
                earlier.push((who, event));
            }
        }
    }
    findings
}

const fn client(who: Persona) -> usize {
    match who {
        Persona::Network { client, .. }
        | Persona::Mailbox(client)
        | Persona::Record(client)
        | Persona::Account(client) => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(relay: usize, who: Persona, number: u64) -> Event {
        Event {
            relay,
            personas: vec![who],
            numbers: vec![number],
            ..Event::default()
        }
    }

    #[test]
    fn one_time_in_two_roles_of_one_person_is_found_and_nothing_else() {
        let at = 1_800_000_000_123;
        let said = |mailbox, record| {
            let events = [event(1, Persona::Mailbox(5), mailbox), event(2, record, at)];
            findings(&events).len()
        };
        assert_eq!(said(at, Persona::Record(5)), 1);
        assert_eq!(said(at + 29 * DAY, Persona::Record(5)), 1);
        assert_eq!(said(at + 1, Persona::Record(5)), 0);
        assert_eq!(said(at, Persona::Record(6)), 0);
        let hour = [Persona::Mailbox(5), Persona::Record(5)].map(|who| event(1, who, 7 * HOUR));
        assert_eq!(findings(&hour).len(), 0);
    }
}
