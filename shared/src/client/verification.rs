//! Safety numbers of contacts, and what follows when the devices of a contact change.
//!
//! ```text
//!   Unverified ──person compares──▶ Verified ──a device is new, or has other keys──▶ Changed
//!       ▲                              ▲                                              │  │ nothing is sent
//!       │                              └───────────────person verifies again──────────┘  │
//!       └──────────────────────────────person accepts────────────────────────────────────┘
//! ```
//! An account's keys never change: its Address is their hash. What can change is which devices the account
//! vouches for. Whoever holds the account's keys, and that may be a thief, can add one that reads along; so
//! a change is told in the conversation, and for a contact who was verified it is for the person to judge.

use super::api::{CommandError, Step};
use super::engine::{Client, Ctx};
use super::view::{Notice, Verification};
use crate::id::Address;
use crate::identity::{DeviceCertificate, SafetyNumber};

impl Client {
    /// The safety number with a contact. About 2 ms of hashing: ask for it when it is to be shown.
    pub fn safety_number(&self, address: &Address) -> Result<SafetyNumber, CommandError> {
        let contact = self
            .contacts
            .get(address)
            .ok_or(CommandError::UnknownContact)?;
        let keys = contact.keys.as_ref().ok_or(CommandError::KeysUnknown)?;
        Ok(SafetyNumber::new(&self.me.keys, keys))
    }

    pub(super) fn check_verified(
        &self,
        address: &Address,
        verified: bool,
    ) -> Result<(), CommandError> {
        let contact = self.contacts.get(address);
        let contact = contact.ok_or(CommandError::UnknownContact)?;
        match verified && contact.keys.is_none() {
            true => Err(CommandError::KeysUnknown),
            false => Ok(()),
        }
    }

    /// The person has compared, or takes it back.
    pub(super) fn set_verified(&mut self, address: Address, verified: bool, ctx: &mut Ctx<'_>) {
        let to = match verified {
            true => Verification::Verified,
            false => Verification::Unverified,
        };
        self.verify_as(address, to, ctx);
    }

    /// The person accepts a change without comparing.
    pub(super) fn accept_keys(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        if self.verification(&address) == Verification::Changed {
            self.verify_as(address, Verification::Unverified, ctx);
        }
    }

    fn verify_as(&mut self, address: Address, to: Verification, ctx: &mut Ctx<'_>) {
        let before = self.verification(&address);
        if before == to {
            return;
        }
        self.store_verification(&address, to, ctx);
        if before == Verification::Changed {
            self.outbox.unblock(&address);
            // What waited goes to the new devices, too: their sessions come first.
            self.lookups.want_now(address, ctx.now);
            self.lookups.want_first(address, ctx.now);
        }
    }

    fn verification(&self, address: &Address) -> Verification {
        let contact = self.contacts.get(address);
        contact.map_or(Verification::Unverified, |row| row.verification())
    }

    fn store_verification(&mut self, address: &Address, to: Verification, ctx: &mut Ctx<'_>) {
        let write = self
            .contacts
            .update(address, |row| row.verification = Some(to));
        ctx.batch.writes.extend(write);
        self.contact_changed(address, ctx);
    }

    /// A device says by itself that it is a contact's. Before any list was read, that may be a change.
    pub(super) fn device_introduced(
        &mut self,
        address: &Address,
        certificate: &DeviceCertificate,
        ctx: &mut Ctx<'_>,
    ) {
        if self.contacts.is_gain(address, certificate) {
            self.keys_changed(*address, ctx);
        }
    }

    /// A device of a contact is new, or has other keys. Called once for each change, in the turn that stores
    /// it.
    pub(super) fn keys_changed(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        ctx.batch.step(Step::Notice(address, Notice::KeysChanged));
        if self.verification(&address) == Verification::Verified {
            self.store_verification(&address, Verification::Changed, ctx);
            self.outbox.block(address);
        }
    }
}
