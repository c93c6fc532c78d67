//! What is claimed of every state, and of what follows when nothing is under way any more.

use std::sync::Arc;

use stateright::Property;

use crate::device::{Local, Texts};
use crate::model::{Act, Establishment, State, unread};

pub(crate) const SAFE: &str = "nothing is read twice, forged, or refused without need";
pub(crate) const HONEST: &str = "what is confirmed was read";
pub(crate) const CONVERGES: &str = "the two come to send in one session, and read everything";
pub(crate) const DELIVERS: &str =
    "a text is read, or its sender can tell, once both have done what they have to";

/// More messages than two devices can owe each other.
const ENOUGH: usize = 64;

pub(crate) fn properties() -> Vec<Property<Establishment>> {
    vec![
        Property::always(SAFE, |_, state: &State| {
            state.devices.iter().all(|local| local.broken.is_none())
        }),
        Property::always(HONEST, |_, state: &State| {
            let honest = |who: usize| {
                let confirmed = state.devices[who].confirmed;
                confirmed.without(state.devices[1 - who].read).is_empty()
            };
            honest(0) && honest(1)
        }),
        Property::always(DELIVERS, |model: &Establishment, state: &State| {
            !state.flying.is_empty() || delivers(model, state)
        }),
        Property::always(CONVERGES, |model: &Establishment, state: &State| {
            !state.flying.is_empty() || converges(model, state)
        }),
        Property::sometimes("both begin, and hear each other", |_, state: &State| {
            let fine = |local: &Arc<Local>| local.starts > 0 && !local.read.is_empty();
            state.devices.iter().all(fine)
        }),
    ]
}

/// Both send again what is to be sent again and begin the sessions that they are to begin, today, and the network
/// loses nothing more. What is then unread was lost by the network or given up, or its reader begins no other
/// session today: it did, for this text or another one, and nothing came of it. The sender has no receipt, so that a
/// person sees it.
fn delivers(model: &Establishment, state: &State) -> bool {
    let mut state = state.clone();
    comes_to_rest(model, &mut state);
    let is_told = |who: usize| {
        let known = state.lost[who].and(state.devices[who].given_up);
        let (sender, reader) = (&state.devices[who], &state.devices[1 - who]);
        let in_vain = reader.anew.is_some_and(|anew| !sender.sessions.has(anew));
        let refused = match in_vain {
            true => reader.refused.and(reader.called),
            false => reader.refused,
        };
        unread(&state, who).without(known.and(refused)).is_empty()
    };
    is_at_rest(&state) && is_told(0) && is_told(1)
}

/// Day after day each writes to the other: they come to do so in one session, and what was unread until then is
/// read, but for what only the network knew of.
fn converges(model: &Establishment, state: &State) -> bool {
    let mut state = state.clone();
    let mut last_round = true;
    for _ in 0..4 {
        last_round = true;
        for who in [0, 1] {
            last_round &= talks(model, &mut state, who);
        }
    }
    let [alice, bob] = &state.devices;
    let current = alice.sessions.current();
    let fine = |local: &Arc<Local>| local.broken.is_none();
    let all_read = |who: usize| {
        let gone = state.lost[who].and(state.devices[who].given_up);
        unread(&state, who).without(gone).is_empty()
    };
    last_round
        && is_at_rest(&state)
        && current.is_some()
        && current == bob.sessions.current()
        && state.devices.iter().all(fine)
        && all_read(0)
        && all_read(1)
}

/// One writes the next day, and whatever follows from it arrives at once. Whether all of it was read.
fn talks(model: &Establishment, state: &mut State, who: usize) -> bool {
    let tomorrow = |local| model.after(local, Act::Tomorrow, None).0;
    state.devices = state.devices.each_ref().map(tomorrow);
    let all_read = comes_to_rest(model, state);
    let local = &state.devices[who];
    let act = match local.sessions.current().is_some() {
        true => Act::Write,
        false => Act::Start(state.devices[1 - who].generation),
    };
    model.does(state, who, act);
    comes_to_rest(model, state) && all_read
}

/// Everything arrives, and both do what they have to, until nothing is left. Whether all that arrived was read.
fn comes_to_rest(model: &Establishment, state: &mut State) -> bool {
    let mut all_read = true;
    for _ in 0..ENOUGH {
        if let Some(message) = state.flying.last() {
            let (to, text) = (1 - message.from, message.text);
            model.arrives(state, state.flying.len() - 1, false);
            let sent = text
                .map(|text| Texts::default().with(text))
                .unwrap_or_default();
            all_read &= sent.without(state.devices[to].read).is_empty();
        } else if let Some(who) = (0..2).find(|who| state.devices[*who].is_busy()) {
            let generation = state.devices[1 - who].generation;
            let local = &state.devices[who];
            let act = match local.wants_anew || local.sessions.current().is_none() {
                true => Act::Start(generation),
                false => Act::Write,
            };
            model.does(state, who, act);
        } else {
            break;
        }
    }
    all_read
}

fn is_at_rest(state: &State) -> bool {
    state.flying.is_empty() && !state.devices.iter().any(|local| local.is_busy())
}
