//! Relays that work together to spoil lookups.
//!
//! They answer every question, so that they stay in the tables: questions with each other's contacts only (the nearest
//! to what was asked for: an eclipse) or with contacts of relays that do not exist, even nearer; stores with "stored",
//! and drop the record; what is looked for with nothing, with another's record, or with a forged one.

use rand_core::Rng;
use zentalk_shared::dht::{
    Contact, Contacts, DhtRecordBytes, K, Network, NodesReply, PongReply, RecordId, Reply, Request,
    StoreOutcome, StoredReply, ValueReply,
};
use zentalk_shared::id::{NodeId, Position};
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::time::{Duration, Timestamp};

use super::records;
use super::sorted::Sorted;

/// All liars: they know each other.
#[derive(Clone, Debug, Default)]
pub struct Liars {
    contacts: Sorted<Contact>,
}

impl Liars {
    /// These relays.
    pub fn new(contacts: impl Iterator<Item = Contact>) -> Self {
        let contacts = contacts.map(|contact| (*contact.position(), contact));
        Self {
            contacts: Sorted::new(contacts.collect()),
        }
    }

    /// What one of them answers.
    pub fn answer(&self, request: &Request, now: Timestamp, rng: &mut impl Rng) -> Reply {
        match request {
            Request::Ping(_) => Reply::Pong(PongReply {}),
            Request::Store(_) => Reply::Stored(StoredReply::of(StoreOutcome::Stored)),
            Request::FindNode(find) => self.contacts_near(&find.target, rng),
            Request::FindValue(find) => match rng.next_u32() % 4 {
                0 => self.another_record(&find.id(), now),
                _ => self.contacts_near(&find.id().position(), rng),
            },
        }
    }

    fn contacts_near(&self, target: &Position, rng: &mut impl Rng) -> Reply {
        let contacts = match rng.next_u32() % 3 {
            0 => (0..K).map(|_| invented(rng)).collect(),
            _ => self.nearest(target),
        };
        let contacts = Contacts::new(contacts).unwrap_or_default();
        Reply::Nodes(NodesReply { contacts })
    }

    fn nearest(&self, target: &Position) -> Vec<Contact> {
        let nearest = self.contacts.nearest(target, K);
        nearest.into_iter().cloned().collect()
    }

    /// The right record with a byte changed, of a higher sequence.
    fn another_record(&self, id: &RecordId, now: Timestamp) -> Reply {
        let mut record = records::make(id, u64::MAX / 2, now + Duration::from_days(1));
        record[25] ^= 1;
        let record = DhtRecordBytes::new(record).unwrap_or_default();
        let contacts = Contacts::default();
        let proof = None;
        Reply::Value(ValueReply {
            record,
            contacts,
            proof,
        })
    }
}

/// A contact that nobody will find at its address.
fn invented(rng: &mut impl Rng) -> Contact {
    let mut node = [0xFF; 20];
    rng.fill_bytes(&mut node[4..]);
    let [a, b, c, ..] = rng.next_u32().to_be_bytes();
    let url = RelayUrl::parse("wss://x.example").expect("a URL");
    Contact::new(NodeId::from_bytes(node), Network::V4([a, b, c]), &url)
}
