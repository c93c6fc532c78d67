//! Taking back what is on its way to devices that are gone.

use super::{Item, ItemId, Outbox};
use crate::client::records::{EnvelopeEntry, envelope_key};
use crate::client::store::Write;
use crate::id::{Address, DeviceId, MessageId};

/// What was on its way to devices that are gone.
#[derive(Debug, Default)]
pub(in crate::client) struct Forgotten {
    pub(in crate::client) writes: Vec<Write>,
    /// Texts that were on their way to nobody else: to be encrypted anew.
    pub(in crate::client) again: Vec<MessageId>,
    /// Items whose other envelopes are all held, by so many of so many.
    pub(in crate::client) held: Vec<(ItemId, (u8, u8))>,
}

impl Outbox {
    /// Takes back what is on its way to a contact's devices that are gone. What relays hold already they keep.
    pub(in crate::client) fn forget_devices(
        &mut self,
        address: &Address,
        gone: &[DeviceId],
    ) -> Forgotten {
        let mut forgotten = Forgotten::default();
        let ids: Vec<ItemId> = self.of(address).map(Item::id).collect();
        for id in ids {
            self.forget_of_item(&id, gone, &mut forgotten);
        }
        forgotten
    }

    fn forget_of_item(&mut self, id: &ItemId, gone: &[DeviceId], forgotten: &mut Forgotten) {
        let Some(item) = self.items.get_mut(id) else {
            return;
        };
        let open = item.row.envelopes.iter().filter(|one| one.held.is_none());
        let open: Vec<DeviceId> = open
            .map(|one| one.device)
            .filter(|device| gone.contains(device))
            .collect();
        if open.is_empty() {
            return;
        }
        let to_gone = |one: &mut EnvelopeEntry| open.contains(&one.device);
        for entry in item.row.envelopes.extract_if(.., to_gone) {
            item.tries.remove(&entry.id);
            self.bytes.remove(&entry.id);
            let write = Write::Delete(envelope_key(&entry.id));
            forgotten.writes.push(write);
        }
        let shown = item.row.shown;
        let rest = item.row.envelopes.iter().map(|one| one.held);
        let held = rest.collect::<Option<Vec<_>>>();
        let least = held.map(|held| held.into_iter().min());
        match least.filter(|_| item.row.body.is_none()) {
            // Somebody else is still to get it.
            None => forgotten.writes.push(Write::Put(item.row.row())),
            Some(Some(least)) => {
                forgotten.held.push((*id, least));
                forgotten.writes.extend(self.all_held(id));
            }
            Some(None) if shown => {
                forgotten.again.push(id.1);
                forgotten.writes.push(Write::Put(item.row.row()));
            }
            Some(None) => forgotten.writes.extend(self.remove(id)),
        }
    }
}
