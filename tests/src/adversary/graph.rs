//! Who can be joined with whom: values and personas are nodes, and an event joins all that it holds.

use std::collections::hash_map::Entry;
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

/// The logs of all relays. Nodes and events go by number.
#[derive(Debug)]
pub(super) struct Graph {
    events: Vec<Event>,
    nodes: Vec<Node>,
    /// The nodes that each event joins.
    joined: Vec<Vec<usize>>,
    /// The events of each relay.
    seen: Vec<Vec<usize>>,
}

impl Graph {
    pub(super) fn new(events: Vec<Event>, relays: usize) -> Self {
        let mut numbers = HashMap::new();
        let mut graph = Self {
            joined: Vec::with_capacity(events.len()),
            nodes: Vec::new(),
            seen: vec![Vec::new(); relays],
            events,
        };
        for (number, event) in graph.events.iter().enumerate() {
            let numbered = nodes_of(event).map(|node| {
                *numbers.entry(node).or_insert_with(|| {
                    graph.nodes.push(node);
                    graph.nodes.len() - 1
                })
            });
            graph.joined.push(numbered.collect());
            graph.seen[event.relay].push(number);
        }
        graph
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Two personas that these relays join together, if there are any. `timed`: flows join, too.
    pub(super) fn finding(&self, relays: &[usize], timed: bool) -> Option<Finding> {
        let seen = || relays.iter().flat_map(|relay| &self.seen[*relay]).copied();
        let mut sets = Sets::new(self.nodes.len());
        let mut personas = BTreeSet::new();
        for event in seen() {
            let mut nodes = self.nodes_at(event, timed);
            let Some(first) = nodes.next() else { continue };
            personas.extend(self.persona(first).map(|who| (who, first)));
            for node in nodes {
                personas.extend(self.persona(node).map(|who| (who, node)));
                sets.join(first, node);
            }
        }
        let mut first_of = HashMap::new();
        for (_, node) in personas {
            match first_of.entry(sets.root(node)) {
                Entry::Vacant(entry) => drop(entry.insert(node)),
                Entry::Occupied(entry) => return self.walk(*entry.get(), seen(), timed),
            }
        }
        None
    }

    /// The shortest way from a persona to another one over what is joined.
    fn walk(&self, from: usize, seen: impl Iterator<Item = usize>, timed: bool) -> Option<Finding> {
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for event in seen {
            for node in self.nodes_at(event, timed) {
                holders.entry(node).or_default().push(event);
            }
        }
        let mut came_by: HashMap<usize, Option<(usize, usize)>> = HashMap::from([(from, None)]);
        let mut walked = HashSet::new();
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            for event in holders.get(&node).into_iter().flatten().copied() {
                if !walked.insert(event) {
                    continue;
                }
                for next in self.nodes_at(event, timed) {
                    let Entry::Vacant(entry) = came_by.entry(next) else {
                        continue;
                    };
                    entry.insert(Some((node, event)));
                    if self.persona(next).is_some() {
                        return self.explain(from, next, &came_by);
                    }
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn explain(
        &self,
        from: usize,
        to: usize,
        came_by: &HashMap<usize, Option<(usize, usize)>>,
    ) -> Option<Finding> {
        let (mut chain, mut relays) = (Vec::new(), BTreeSet::new());
        let mut at = to;
        while let Some(Some((before, event))) = came_by.get(&at) {
            chain.push(self.events[*event].describe());
            relays.insert(self.events[*event].relay);
            at = *before;
        }
        chain.reverse();
        Some(Finding {
            relays,
            joined: [self.persona(from)?, self.persona(to)?],
            chain,
        })
    }

    fn nodes_at(&self, event: usize, timed: bool) -> impl Iterator<Item = usize> {
        let joins = move |node: &usize| timed || !matches!(self.nodes[*node], Node::Flow(_));
        self.joined[event].iter().copied().filter(joins)
    }

    fn persona(&self, node: usize) -> Option<Persona> {
        match self.nodes[node] {
            Node::Persona(persona) => Some(persona),
            Node::Value(_) | Node::Flow(_) => None,
        }
    }
}

fn nodes_of(event: &Event) -> impl Iterator<Item = Node> {
    let values = event.values.iter().map(|value| Node::Value(*value));
    let personas = event.personas.iter().map(|who| Node::Persona(*who));
    values.chain(personas).chain(event.flow.map(Node::Flow))
}

/// Disjoint sets of nodes.
struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    fn new(nodes: usize) -> Self {
        Self {
            parents: (0..nodes).collect(),
        }
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parents[node] != node {
            // Halves the way for whoever comes next.
            self.parents[node] = self.parents[self.parents[node]];
            node = self.parents[node];
        }
        node
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one] = other;
    }
}
