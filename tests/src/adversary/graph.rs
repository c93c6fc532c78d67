//! Who can be joined with whom: values and personas are nodes, and an event joins all that it holds.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::Finding;
use super::log::Event;
use super::truth::Persona;
use super::values::Value;

/// What events have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Value(Value),
    Persona(Persona),
    Flow(Value),
}

/// The log of one or more relays.
pub(super) struct Graph<'a> {
    events: Vec<&'a Event>,
    timed: bool,
    /// The events that a node is in.
    holders: HashMap<Node, Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// `timed`: flows join, too.
    pub(super) fn new(events: Vec<&'a Event>, timed: bool) -> Self {
        let mut graph = Self {
            events,
            timed,
            holders: HashMap::new(),
        };
        for index in 0..graph.events.len() {
            for node in graph.nodes(index) {
                graph.holders.entry(node).or_default().push(index);
            }
        }
        graph
    }

    /// The first two personas that can be joined.
    pub(super) fn finding(&self) -> Option<Finding> {
        let mut personas: Vec<Persona> = self.holders.keys().filter_map(persona).collect();
        personas.sort_unstable();
        let mut settled = HashSet::new();
        personas.into_iter().find_map(|from| {
            if settled.contains(&from) {
                return None;
            }
            settled.insert(from);
            self.reach_another(from)
        })
    }

    /// Walks from a persona over everything that is joined with it, until another one is there.
    fn reach_another(&self, from: Persona) -> Option<Finding> {
        let start = Node::Persona(from);
        let mut came_by: HashMap<Node, Option<(Node, usize)>> = HashMap::from([(start, None)]);
        let mut walked = HashSet::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for event in self.holders.get(&node).into_iter().flatten().copied() {
                if !walked.insert(event) {
                    continue;
                }
                for next in self.nodes(event) {
                    if came_by.contains_key(&next) {
                        continue;
                    }
                    came_by.insert(next, Some((node, event)));
                    if let Some(other) = persona(&next) {
                        return Some(self.explain(from, other, &came_by));
                    }
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn explain(
        &self,
        from: Persona,
        to: Persona,
        came_by: &HashMap<Node, Option<(Node, usize)>>,
    ) -> Finding {
        let (mut chain, mut relays) = (Vec::new(), BTreeSet::new());
        let mut at = Node::Persona(to);
        while let Some(Some((before, event))) = came_by.get(&at) {
            chain.push(self.events[*event].describe());
            relays.insert(self.events[*event].relay);
            at = *before;
        }
        chain.reverse();
        Finding {
            relays,
            joined: [from, to],
            chain,
        }
    }

    fn nodes(&self, event: usize) -> Vec<Node> {
        let event = self.events[event];
        let values = event.values.iter().map(|value| Node::Value(*value));
        let personas = event.personas.iter().map(|who| Node::Persona(*who));
        let flow = event.flow.filter(|_| self.timed).map(Node::Flow);
        values.chain(personas).chain(flow).collect()
    }
}

const fn persona(node: &Node) -> Option<Persona> {
    match node {
        Node::Persona(persona) => Some(*persona),
        Node::Value(_) | Node::Flow(_) => None,
    }
}
