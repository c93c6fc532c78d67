//! The state of one side of a session and its two operations. Names in comments are those of Signal's
//! specification (DHs, DHr, RK, CKs, CKr, Ns, Nr, PN, MKSKIPPED).

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use thiserror::Error;

use super::chain_key::ChainKey;
use super::header::{ChainHeader, Header};
use super::message_key::MessageKey;
use super::root_key::RootKey;
use super::skipped_keys::{MAX_SKIP, SkippedKeys};
use crate::crypto::Secret32;
use crate::crypto::aead::TAG_LEN;
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::ml_kem::{MlKemPublic, MlKemSecret};
use crate::time::Timestamp;
use crate::wire::budget::{MAX_CONTENT_LEN, MAX_SESSION_MESSAGE_LEN, RATCHET_HEADER_LEN};

/// The longest plaintext of one message in bytes: the largest content frame.
pub const MAX_PLAINTEXT_LEN: usize = MAX_CONTENT_LEN;

// Account keys, certificate, agreement and ids of a first message take less than 12 KiB.
const _: () = assert!(
    MAX_PLAINTEXT_LEN + TAG_LEN + RATCHET_HEADER_LEN + 12 * 1024 <= MAX_SESSION_MESSAGE_LEN
);

/// Encrypting failed: the caller's plaintext, or keys that the peer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncryptError {
    /// The plaintext is longer than [`MAX_PLAINTEXT_LEN`].
    #[error("a message holds at most {MAX_PLAINTEXT_LEN} bytes, not {0}")]
    TooLong(usize),
    /// The peer's DH key has low order.
    #[error("the peer's ratchet key has low order")]
    LowOrderPoint,
    /// 2^32 messages were sent without an answer.
    #[error("the sending chain is used up")]
    ChainExhausted,
}

/// A message was refused; the state is as it was. All by the peer or whoever speaks in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecryptError {
    /// It does not authenticate under the key that its header names.
    #[error("the message does not authenticate")]
    Forged,
    /// The key of this message was used already, or given up.
    #[error("the message was seen before, or its key is gone")]
    AlreadyUsed,
    /// Its number is more than [`MAX_SKIP`] ahead.
    #[error("the message is {0} ahead in its chain")]
    TooFarAhead(u32),
    /// It opens a new chain although this side has not answered the last one.
    #[error("the message belongs to no chain that can exist")]
    UnknownChain,
    /// Its DH key has low order.
    #[error("the peer's ratchet key has low order")]
    LowOrderPoint,
    /// It authenticates, but the KEM key in its header is none.
    #[error("the peer's ratchet KEM key is malformed")]
    BadKemKey,
}

/// One side of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Ratchet {
    /// RK.
    pub(super) root: RootKey,
    /// CKr, Nr and the DHr that names them; `None` until the peer's first message.
    pub(super) receiving: Option<ReceivingChain>,
    /// Who made the last step.
    pub(super) turn: Turn,
    /// MKSKIPPED.
    pub(super) skipped: SkippedKeys,
}

/// Who made the last step decides what can happen next: only the other one can make the next. Shared with
/// the states that follow until the next step: a state is copied for every message.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// We did: there is a sending chain, and the secrets that the peer's next step answers.
    Ours(Arc<OwnStep>),
    /// The peer did (or it is its prekeys that we start from): our next message makes a step.
    Theirs(Arc<PeerStep>),
}

/// Our last step: DHs, its KEM half, CKs, Ns, PN.
#[derive(Clone)]
pub(super) struct OwnStep {
    pub(super) dh: X25519Secret,
    pub(super) ek: MlKemSecret,
    /// Repeated in every header of the chain: the public halves of `dh` and `ek`, and the ciphertext for the peer's `ek`.
    pub(super) header: Arc<ChainHeader>,
    pub(super) chain: ChainKey,
    pub(super) pn: u32,
    pub(super) n: u32,
}

/// The peer's last step: DHr, its KEM half, and the PN of the step that we shall make.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PeerStep {
    pub(super) dh: X25519Public,
    pub(super) ek: MlKemPublic,
    pub(super) pn: u32,
}

/// The peer's current chain.
#[derive(Clone, Debug)]
pub(super) struct ReceivingChain {
    pub(super) dh: X25519Public,
    /// The key of message `next`.
    pub(super) key: ChainKey,
    pub(super) next: u32,
    /// What the last message of the chain that authenticated repeats, for the hash of it: not stored, no part of the state.
    pub(super) header: Option<Arc<ChainHeader>>,
}

impl Ratchet {
    /// The initiator's state after the agreement: `shared` is its secret, `peer_dh` the signed prekey,
    /// `peer_ek` the KEM prekey that it used. The first message sent makes the first step.
    pub fn initiate(shared: Secret32, peer_dh: X25519Public, peer_ek: MlKemPublic) -> Self {
        Self {
            root: RootKey::new(shared),
            receiving: None,
            turn: Turn::Theirs(Arc::new(PeerStep {
                dh: peer_dh,
                ek: peer_ek,
                pn: 0,
            })),
            skipped: SkippedKeys::default(),
        }
    }

    /// The responder's state, made by the first message that it receives, whichever of the chain that
    /// is. `own_dh` and `own_ek` are the secrets of the prekeys that the initiator used.
    pub fn accept(
        shared: Secret32,
        own_dh: &X25519Secret,
        own_ek: &MlKemSecret,
        ad: &[u8],
        header: &Header,
        ciphertext: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<u8>, Self), DecryptError> {
        let opened = open_step(
            &RootKey::new(shared),
            own_dh,
            own_ek,
            ad,
            header,
            ciphertext,
        )?;
        let mut skipped = SkippedKeys::default();
        skipped.keep(header.dh(), &opened.first, 0, header.n, now);
        let ratchet = Self {
            root: opened.root,
            receiving: Some(opened.chain),
            turn: Turn::Theirs(Arc::new(PeerStep {
                dh: header.dh(),
                ek: opened.ek,
                pn: 0,
            })),
            skipped,
        };
        Ok((opened.plaintext, ratchet))
    }

    /// Encrypts a message bound to `ad`, making a step if the peer made the last one. The state is
    /// unchanged on failure; on success the caller stores it before the message leaves.
    pub fn encrypt(
        &mut self,
        ad: &[u8],
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Header, Vec<u8>), EncryptError> {
        if plaintext.len() > MAX_PLAINTEXT_LEN {
            return Err(EncryptError::TooLong(plaintext.len()));
        }
        match &mut self.turn {
            Turn::Ours(own) => Arc::make_mut(own).encrypt(ad, plaintext),
            Turn::Theirs(peer) => {
                let (root, mut own) = step(&self.root, peer, rng)?;
                let message = own.encrypt(ad, plaintext)?;
                self.root = root;
                self.turn = Turn::Ours(Arc::new(own));
                Ok(message)
            }
        }
    }

    /// Decrypts a message bound to `ad`: its plaintext, once, and the state that follows. On failure
    /// there is no next state, and this one is as it was.
    pub fn decrypt(
        &self,
        ad: &[u8],
        header: &Header,
        ciphertext: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<u8>, Self), DecryptError> {
        let known = self.receiving.as_ref();
        let header = &header.knowing(known.and_then(|chain| chain.header.as_ref()));
        let dh = header.dh();
        if let Some(key) = self.skipped.get(&dh, header.n, now) {
            return self.decrypt_skipped(key, ad, header, ciphertext, now);
        }
        match (&self.receiving, &self.turn) {
            (Some(chain), _) if chain.dh == dh => {
                self.decrypt_in_chain(chain, ad, header, ciphertext, now)
            }
            (_, Turn::Ours(own)) => self.decrypt_step(own, ad, header, ciphertext, now),
            (_, Turn::Theirs(_)) => Err(DecryptError::UnknownChain),
        }
    }

    fn decrypt_skipped(
        &self,
        key: &MessageKey,
        ad: &[u8],
        header: &Header,
        ciphertext: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<u8>, Self), DecryptError> {
        let plaintext = key
            .open(ad, header, ciphertext)
            .map_err(|_| DecryptError::Forged)?;
        let mut after = self.clone();
        after.skipped.remove(&header.dh(), header.n);
        after.skipped.expire(now);
        Ok((plaintext, after))
    }

    fn decrypt_in_chain(
        &self,
        chain: &ReceivingChain,
        ad: &[u8],
        header: &Header,
        ciphertext: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<u8>, Self), DecryptError> {
        let (plaintext, advanced) = open_in_chain(chain, ad, header, ciphertext)?;
        let mut skipped = self.skipped.clone();
        skipped.expire(now);
        skipped.keep(chain.dh, &chain.key, chain.next, header.n, now);
        let after = Self {
            root: self.root.clone(),
            receiving: Some(advanced),
            turn: self.turn.clone(),
            skipped,
        };
        Ok((plaintext, after))
    }

    /// The peer's step. What its previous chain still owes is kept as skipped keys; should it owe more
    /// than [`MAX_SKIP`], the rest is given up rather than the session.
    fn decrypt_step(
        &self,
        own: &OwnStep,
        ad: &[u8],
        header: &Header,
        ciphertext: &[u8],
        now: Timestamp,
    ) -> Result<(Vec<u8>, Self), DecryptError> {
        let opened = open_step(&self.root, &own.dh, &own.ek, ad, header, ciphertext)?;
        let mut skipped = self.skipped.clone();
        skipped.expire(now);
        if let Some(old) = &self.receiving {
            skipped.keep(old.dh, &old.key, old.next, header.pn, now);
        }
        skipped.keep(header.dh(), &opened.first, 0, header.n, now);
        let after = Self {
            root: opened.root,
            receiving: Some(opened.chain),
            turn: Turn::Theirs(Arc::new(PeerStep {
                dh: header.dh(),
                ek: opened.ek,
                pn: own.n,
            })),
            skipped,
        };
        Ok((opened.plaintext, after))
    }

    /// Whether `other` receives in the same chain: if not, the peer made a step between the two, and
    /// all but its first step answer one of ours.
    pub fn same_receiving_chain(&self, other: &Self) -> bool {
        let dh = |ratchet: &Self| ratchet.receiving.as_ref().map(|chain| chain.dh);
        dh(self) == dh(other)
    }

    /// How many skipped keys are kept.
    pub fn skipped_keys(&self) -> usize {
        self.skipped.len()
    }
}

/// Our step, answering the peer's: fresh keys, a fresh ciphertext, a sending chain.
fn step(
    root: &RootKey,
    peer: &PeerStep,
    rng: &mut impl CryptoRng,
) -> Result<(RootKey, OwnStep), EncryptError> {
    let (dh, ek) = (X25519Secret::random(rng), MlKemSecret::random(rng));
    let (ct, kem_secret) = peer.ek.encapsulate(rng);
    let dh_secret = dh
        .diffie_hellman(&peer.dh)
        .map_err(|_| EncryptError::LowOrderPoint)?;
    let (root, chain) = root.step(&dh_secret, &kem_secret);
    let header = ChainHeader::new(dh.public(), ek.public().encoding(), &ct);
    Ok((
        root,
        OwnStep {
            dh,
            ek,
            header,
            chain,
            pn: peer.pn,
            n: 0,
        },
    ))
}

/// What the first message received of a chain gives.
struct OpenedStep {
    plaintext: Vec<u8>,
    root: RootKey,
    /// The chain's key at zero, from which skipped keys follow.
    first: ChainKey,
    chain: ReceivingChain,
    ek: MlKemPublic,
}

/// The peer's step, answering ours. The KEM key is looked at only once the message authenticates.
fn open_step(
    root: &RootKey,
    own_dh: &X25519Secret,
    own_ek: &MlKemSecret,
    ad: &[u8],
    header: &Header,
    ciphertext: &[u8],
) -> Result<OpenedStep, DecryptError> {
    if header.n > MAX_SKIP {
        return Err(DecryptError::TooFarAhead(header.n));
    }
    let dh_secret = own_dh
        .diffie_hellman(&header.dh())
        .map_err(|_| DecryptError::LowOrderPoint)?;
    let (root, first) = root.step(&dh_secret, &own_ek.decapsulate(&header.ct()));
    let chain = ReceivingChain {
        dh: header.dh(),
        key: first.clone(),
        next: 0,
        header: None,
    };
    let (plaintext, chain) = open_in_chain(&chain, ad, header, ciphertext)?;
    let ek = MlKemPublic::try_from(header.ek().as_slice()).map_err(|_| DecryptError::BadKemKey)?;
    Ok(OpenedStep {
        plaintext,
        root,
        first,
        chain,
        ek,
    })
}

/// A message at or after the head of `chain`: its plaintext and the chain behind it.
fn open_in_chain(
    chain: &ReceivingChain,
    ad: &[u8],
    header: &Header,
    ciphertext: &[u8],
) -> Result<(Vec<u8>, ReceivingChain), DecryptError> {
    let ahead = header
        .n
        .checked_sub(chain.next)
        .ok_or(DecryptError::AlreadyUsed)?;
    let next = header
        .n
        .checked_add(1)
        .ok_or(DecryptError::TooFarAhead(ahead))?;
    if ahead > MAX_SKIP {
        return Err(DecryptError::TooFarAhead(ahead));
    }
    let (message_key, key) = chain.key.step_ahead(ahead);
    let plaintext = message_key
        .open(ad, header, ciphertext)
        .map_err(|_| DecryptError::Forged)?;
    Ok((
        plaintext,
        ReceivingChain {
            dh: chain.dh,
            key,
            next,
            header: Some(header.chain().clone()),
        },
    ))
}

impl OwnStep {
    /// The next message of the chain. Unchanged on failure.
    fn encrypt(&mut self, ad: &[u8], plaintext: &[u8]) -> Result<(Header, Vec<u8>), EncryptError> {
        let next = self.n.checked_add(1).ok_or(EncryptError::ChainExhausted)?;
        let header = Header::new(&self.header, self.pn, self.n);
        let (message_key, chain) = self.chain.step();
        let ciphertext = message_key
            .seal(ad, &header, plaintext)
            .map_err(|_| EncryptError::TooLong(plaintext.len()))?;
        self.chain = chain;
        self.n = next;
        Ok((header, ciphertext))
    }
}

impl PartialEq for OwnStep {
    fn eq(&self, other: &Self) -> bool {
        self.dh.to_bytes() == other.dh.to_bytes()
            && self.ek.seed() == other.ek.seed()
            && self.header == other.header
            && self.chain == other.chain
            && (self.pn, self.n) == (other.pn, other.n)
    }
}

impl Eq for OwnStep {}

impl PartialEq for ReceivingChain {
    fn eq(&self, other: &Self) -> bool {
        (self.dh, self.next) == (other.dh, other.next) && self.key == other.key
    }
}

impl Eq for ReceivingChain {}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (turn, sent) = match &self.turn {
            Turn::Ours(own) => ("ours", own.n),
            Turn::Theirs(peer) => ("theirs", peer.pn),
        };
        f.debug_struct("Ratchet")
            .field("turn", &turn)
            .field("sent", &sent)
            .field("received", &self.receiving.as_ref().map(|chain| chain.next))
            .field("skipped", &self.skipped.len())
            .finish_non_exhaustive()
    }
}
