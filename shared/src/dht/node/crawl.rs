//! Going through the whole network: which relays are there?
//!
//! A lookup in the middle of a region of the key space finds the relays nearest to its target, and those of the region
//! are nearer than all others. If somebody of the few nearest is from outside, the region has been seen whole;
//! otherwise it is halved. So a network of N relays takes about N/4 lookups.

use std::collections::BTreeMap;

use rand_core::CryptoRng;

use super::queries::Purpose;
use super::{Answer, Busy, Node, Output, QueryId};
use crate::dht::admission::Admission;
use crate::dht::contact::Contact;
use crate::dht::distance::BUCKETS;
use crate::dht::lookup::{Breadth, Goal};
use crate::dht::record::RecordScheme;
use crate::id::{NodeId, Position};
use crate::time::Timestamp;

/// If so many of the nearest are in a region, there may be more.
const DENSE: usize = 8;
/// Lookups of one crawl.
const MAX_LOOKUPS: usize = 4096;
/// Relays that one crawl finds.
const MAX_FOUND: usize = 16_384;

/// A crawl under way, one lookup at a time.
pub(super) struct Crawl {
    query: QueryId,
    /// Yet to be seen: a point in it, and the bits that its points have in common.
    regions: Vec<(Position, u8)>,
    /// Being looked at.
    shared: u8,
    lookups: usize,
    found: BTreeMap<NodeId, Contact>,
}

impl<R: RecordScheme, A: Admission> Node<R, A> {
    /// Looks for every relay of the network. The answer is an [`Answer::Crawled`]; every relay that lets itself be
    /// verified enters the table besides, as far as it has room. One crawl at a time.
    pub fn crawl(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Result<QueryId, Busy> {
        if self.crawl.is_some() {
            return Err(Busy);
        }
        let query = QueryId(self.number());
        self.crawl = Some(Crawl {
            query,
            regions: vec![(*self.me.position(), 0)],
            shared: 0,
            lookups: 0,
            found: BTreeMap::new(),
        });
        self.crawl_on(now, rng);
        Ok(query)
    }

    /// A region has been looked at.
    pub(super) fn crawled(
        &mut self,
        target: &Position,
        nearest: Vec<Contact>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let Some(crawl) = &mut self.crawl else {
            return;
        };
        let inside = |c: &&Contact| c.position().to(target).leading_zeros() >= crawl.shared;
        let dense = nearest.iter().take(DENSE).filter(inside).count() == DENSE;
        if dense && crawl.shared < BUCKETS - 1 {
            let other = target.with_bit_flipped(crawl.shared);
            crawl.regions.push((other, crawl.shared + 1));
            crawl.regions.push((*target, crawl.shared + 1));
        }
        for contact in nearest {
            if crawl.found.len() < MAX_FOUND {
                crawl.found.insert(contact.node(), contact);
            }
        }
        self.crawl_on(now, rng);
    }

    fn crawl_on(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let Some(crawl) = &mut self.crawl else {
            return;
        };
        let next = crawl.regions.pop();
        if let Some((within, shared)) = next.filter(|_| crawl.lookups < MAX_LOOKUPS) {
            crawl.shared = shared;
            crawl.lookups += 1;
            let target = within.random_below(shared, rng);
            return self.look_up(
                target,
                Goal::Nodes,
                Breadth::NARROW,
                Purpose::Crawl,
                now,
                rng,
            );
        }
        if let Some(crawl) = self.crawl.take() {
            let found = crawl.found.into_values().collect();
            let answer = Answer::Crawled(found);
            self.outputs.push_back(Output::Done(crawl.query, answer));
        }
    }
}
