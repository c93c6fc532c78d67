//! Ratchets at rest, and two of them in conversation.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::ml_kem::MlKemSecret;
use zentalk_shared::ratchet::{DecryptError, Header, Ratchet};
use zentalk_shared::time::Timestamp;

/// Steps of one conversation: enough for several changes of direction, few enough to be quick.
const MAX_STEPS: usize = 64;
const AD: &[u8] = b"fuzz";

pub(crate) fn record(data: &[u8]) {
    if let Ok(ratchet) = Ratchet::decode(data) {
        let bytes = ratchet.encode();
        let again = Ratchet::decode(&bytes).map(|ratchet| ratchet.encode());
        assert_eq!(again.ok(), Some(bytes));
    }
}

/// A conversation that the input schedules: sending, delivering in any order and as often as it
/// likes, and corrupting. Every genuine message arrives exactly once, whatever else happens.
pub(crate) fn two_parties(data: &[u8]) {
    let mut world = World::new();
    let mut data = data.iter().copied();
    for _ in 0..MAX_STEPS {
        let Some(step) = data.next() else { break };
        let mut number = || usize::from(data.next().unwrap_or_default());
        let side = usize::from(step & 1);
        match step >> 1 & 3 {
            0 | 1 => world.send(side),
            2 => world.deliver(side, number()),
            _ => world.corrupt(side, number(), number(), number()),
        }
    }
    world.finish();
}

/// A message under way, its plaintext, and whether it has arrived.
struct Message {
    header: Header,
    ciphertext: Vec<u8>,
    plaintext: Vec<u8>,
    arrived: bool,
}

/// The two sides; the second exists from the first message that it accepts.
struct World {
    sides: [Option<Ratchet>; 2],
    /// Under way to each side.
    to: [Vec<Message>; 2],
    secrets: (Secret32, X25519Secret, MlKemSecret),
    rng: ChaCha20Rng,
    sent: u32,
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let shared = Secret32::random(&mut rng);
        let (dh, ek) = (
            X25519Secret::random(&mut rng),
            MlKemSecret::random(&mut rng),
        );
        let first = Ratchet::initiate(shared.clone(), *dh.public(), ek.public().clone());
        let (sides, to) = ([Some(first), None], [vec![], vec![]]);
        Self {
            sides,
            to,
            secrets: (shared, dh, ek),
            rng,
            sent: 0,
        }
    }

    fn send(&mut self, from: usize) {
        let Some(ratchet) = &mut self.sides[from] else {
            return;
        };
        self.sent += 1;
        let plaintext = self.sent.to_be_bytes().to_vec();
        let (header, ciphertext) = ratchet
            .encrypt(AD, &plaintext, &mut self.rng)
            .expect("encrypts");
        self.to[1 - from].push(Message {
            header,
            ciphertext,
            plaintext,
            arrived: false,
        });
    }

    fn deliver(&mut self, to: usize, which: usize) {
        let Some(index) = which.checked_rem(self.to[to].len()) else {
            return;
        };
        let message = &self.to[to][index];
        match self.open(to, &message.header, &message.ciphertext) {
            Ok((plaintext, next)) => {
                assert!(!message.arrived && plaintext == message.plaintext);
                self.to[to][index].arrived = true;
                self.sides[to] = Some(next);
            }
            Err(_) => assert!(message.arrived),
        }
    }

    fn corrupt(&self, to: usize, which: usize, at: usize, xor: usize) {
        let Some(index) = which.checked_rem(self.to[to].len()) else {
            return;
        };
        let message = &self.to[to][index];
        let (mut header, mut ciphertext) = (message.header.encode(), message.ciphertext.clone());
        // Every part of the header and the ciphertext is within reach of one byte.
        let position = at * 10 % (Header::LEN + ciphertext.len());
        let xor = xor as u8 | 1;
        match header.get_mut(position) {
            Some(byte) => *byte ^= xor,
            None => ciphertext[position - Header::LEN] ^= xor,
        }
        assert!(
            self.open(to, &Header::decode(&header), &ciphertext)
                .is_err()
        );
    }

    fn open(
        &self,
        to: usize,
        header: &Header,
        ciphertext: &[u8],
    ) -> Result<(Vec<u8>, Ratchet), DecryptError> {
        let now = Timestamp::EPOCH;
        let Some(ratchet) = &self.sides[to] else {
            let (shared, dh, ek) = &self.secrets;
            return Ratchet::accept(shared.clone(), dh, ek, AD, header, ciphertext, now);
        };
        let before = ratchet.encode();
        let result = ratchet.decrypt(AD, header, ciphertext, now);
        assert!(result.is_ok() || ratchet.encode() == before);
        result
    }

    /// What has not arrived still can.
    fn finish(&mut self) {
        for side in [1, 0] {
            (0..self.to[side].len()).for_each(|index| self.deliver(side, index));
            assert!(self.to[side].iter().all(|message| message.arrived));
        }
    }
}
