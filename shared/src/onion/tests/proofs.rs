//! What the packet format promises, for every suite: whatever is changed on the way delivers nothing, and
//! nobody can tell packets apart, nor one hop's packet from the next one's, by looking at them.
//!
//! Looks are tested by chi-square with fixed seeds. A threshold is the quantile at 1 − 10⁻⁶: with other
//! seeds a good format would fail one test in a million. The KEM ciphertext in the clear is the one part
//! that is not uniform (the top bit of an X25519 key is zero; ML-KEM's compression and RSA's modulus show),
//! but it looks alike in every packet of its suite: so the whole packet is compared between packets, and
//! all that follows the ciphertext with the uniform distribution.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use rand_core::Rng;

use super::support::NOW;
use crate::crypto::dh::X25519Secret;
use crate::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem, XWingSecret};
use crate::crypto::rsa::RsaSecret;
use crate::id::{ConnectionTag, NodeId};
use crate::onion::build::Hop;
use crate::onion::layout::PREFIX_LEN;
use crate::onion::peel::peel;
use crate::onion::*;
use crate::test_support::{account_rsa, rng};
use crate::time::Duration;

const RELAYS: usize = MAX_HOPS;

/// A suite with a key for every hop; keys of the real sizes are made once.
trait Tested: Kem<Secret: 'static> + Sized {
    fn relays() -> &'static [Self::Secret; RELAYS];
}

macro_rules! tested {
    ($kem:ty, $secret:ty, $index:ident => $make:expr) => {
        impl Tested for $kem {
            fn relays() -> &'static [$secret; RELAYS] {
                static KEYS: LazyLock<[$secret; RELAYS]> =
                    LazyLock::new(|| core::array::from_fn(|$index| $make));
                &KEYS
            }
        }
    };
}

tested!(X25519Kem, X25519Secret, i => X25519Secret::random(&mut rng(i as u64)));
tested!(XWingKem, XWingSecret, i => XWingSecret::random(&mut rng(i as u64)));
tested!(Rsa4096Kem, RsaSecret, i => account_rsa(i));

/// What is sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sending {
    hops: usize,
    bulk: bool,
    reply: bool,
    seed: u64,
}

impl Sending {
    const fn class(self) -> Class {
        match self.bulk {
            true => Class::Bulk,
            false => Class::Message,
        }
    }

    /// The packet for the first hop, and what opens it if it is a reply.
    fn packet<K: Tested>(self, payload: &[u8]) -> (Vec<u8>, Option<SurbKeys>) {
        let mut rng = rng(self.seed);
        let path: Vec<Hop<K>> = (1..).zip(K::relays()).take(self.hops).map(hop).collect();
        let tag = ConnectionTag::from_bytes([9; 16]);
        let (surb, keys) = build_surb(&path, tag, NOW, &mut rng).unwrap();
        match self.reply {
            true => (surb.reply(payload, self.class()).unwrap(), Some(keys)),
            false => {
                let class = self.class();
                let packet = build_request(&path, Some(&surb), payload, class, &mut rng);
                (packet.unwrap(), None)
            }
        }
    }

    /// The packet as each of its hops receives it.
    fn journey<K: Tested>(self, payload: &[u8]) -> Vec<Vec<u8>> {
        let mut packets = vec![self.packet::<K>(payload).0];
        for at in 0..self.hops - 1 {
            let packet = packets.last().unwrap().clone();
            packets.push(forwarded::<K>(at, packet));
        }
        packets
    }
}

fn hop<K: Kem>((index, secret): (u8, &K::Secret)) -> Hop<K> {
    Hop {
        node: NodeId::from_bytes([index; 20]),
        epoch: Epoch::at(NOW),
        key: K::public(secret).clone(),
        delay: Duration::ZERO,
    }
}

fn peel_at<K: Tested>(hop: usize, packet: Vec<u8>) -> Result<Peeled, PeelError> {
    peel::<K>(&K::relays()[hop], packet, |_| Ok(()), &mut rng(0))
}

fn forwarded<K: Tested>(hop: usize, packet: Vec<u8>) -> Vec<u8> {
    match peel_at::<K>(hop, packet).unwrap() {
        Peeled::Forward { packet, .. } => packet,
        other => panic!("hop {hop} saw {other:?}"),
    }
}

// --- Whatever is changed delivers nothing -------------------------------------------------------------

/// One bit of one packet before one hop.
#[derive(Clone, Debug)]
struct Flip {
    sending: Sending,
    hop: Index,
    bit: Index,
    header_only: bool,
}

prop_compose! {
    fn flips()(
        hops in 1..=RELAYS,
        bulk in any::<bool>(),
        reply in any::<bool>(),
        seed in any::<u64>(),
        hop in any::<Index>(),
        bit in any::<Index>(),
        header_only in any::<bool>(),
    ) -> Flip {
        let sending = Sending { hops, bulk, reply, seed };
        Flip { sending, hop, bit, header_only }
    }
}

/// A flip in the header is noticed by the hop that it reaches. A flip in the body of a request is noticed by
/// the last hop, which finds no zeros; in that of a reply, by its owner.
fn delivers_nothing<K: Tested>(flip: &Flip) -> Result<(), TestCaseError> {
    let (sending, layout) = (flip.sending, Layout::of::<K>());
    let (packet, keys) = sending.packet::<K>(b"for nobody else");
    let first = flip.hop.index(sending.hops);
    let mut packet = (0..first).fold(packet, |packet, at| forwarded::<K>(at, packet));
    let range = match flip.header_only {
        true => layout.header(),
        false => packet.len(),
    };
    let bit = flip.bit.index(8 * range);
    let in_header = bit / 8 < layout.header();
    packet[bit / 8] ^= 1 << (bit % 8);
    for at in first..sending.hops {
        match peel_at::<K>(at, packet) {
            Err(_) if in_header => {
                prop_assert_eq!(at, first);
                return Ok(());
            }
            Err(error) => {
                prop_assert!(!sending.reply && at == sending.hops - 1);
                prop_assert_eq!(error, PeelError::BadBody);
                return Ok(());
            }
            Ok(Peeled::Forward { packet: next, .. }) if !in_header => packet = next,
            Ok(Peeled::Deliver { body, .. }) if !in_header => {
                let opened = keys.expect("a reply has an owner").open(body);
                prop_assert_eq!(opened, Err(ReplyError::NotAuthentic));
                return Ok(());
            }
            Ok(other) => return Err(TestCaseError::fail(format!("hop {at} saw {other:?}"))),
        }
    }
    Err(TestCaseError::fail("the packet is still on its way"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_flipped_bit_delivers_nothing_x25519(flip in flips()) {
        delivers_nothing::<X25519Kem>(&flip)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_delivers_nothing_x_wing(flip in flips()) {
        delivers_nothing::<XWingKem>(&flip)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_flipped_bit_delivers_nothing_rsa_4096(flip in flips()) {
        delivers_nothing::<Rsa4096Kem>(&flip)?;
    }
}

#[test]
fn every_bit_of_an_x25519_header_is_authenticated_at_every_hop() {
    let sending = Sending {
        hops: RELAYS,
        ..Sending::default()
    };
    let header = 8 * Layout::of::<X25519Kem>().header();
    for (hop, packet) in sending.journey::<X25519Kem>(b"x").iter().enumerate() {
        let survives = |bit: &usize| {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            peel_at::<X25519Kem>(hop, damaged).is_ok()
        };
        let surviving: Vec<_> = (0..header).filter(survives).collect();
        assert!(surviving.is_empty(), "at hop {hop}: {surviving:?}");
        assert!(peel_at::<X25519Kem>(hop, packet.clone()).is_ok());
    }
}

#[test]
fn a_reply_body_that_was_made_for_another_header_delivers_nothing() {
    let reply = |seed| Sending {
        hops: 3,
        reply: true,
        seed,
        ..Sending::default()
    };
    let header = Layout::of::<X25519Kem>().header();
    let (mut one, keys) = reply(1).packet::<X25519Kem>(b"one");
    let (two, _) = reply(2).packet::<X25519Kem>(b"two");
    one[header..].copy_from_slice(&two[header..]);
    let last = (0..2).fold(one, |packet, at| forwarded::<X25519Kem>(at, packet));
    let Peeled::Deliver { body, .. } = peel_at::<X25519Kem>(2, last).unwrap() else {
        panic!("the header is whole");
    };
    let opened = keys.unwrap().open(body);
    assert_eq!(opened, Err(ReplyError::NotAuthentic));
}

// --- Packets look alike -------------------------------------------------------------------------------

/// The normal distribution's quantile at 1 − 10⁻⁶.
const Z: f64 = 4.753_424;

/// The chi-square distribution's quantile at 1 − 10⁻⁶, by Wilson and Hilferty (PNAS 17, 1931): for 255
/// degrees of freedom 377, off by less than 1.
fn threshold(degrees: usize) -> f64 {
    let spread = 2.0 / (9.0 * degrees as f64);
    degrees as f64 * (1.0 - spread + Z * spread.sqrt()).powi(3)
}

/// How often each byte value was seen.
#[derive(Clone)]
struct Histogram([u64; 256]);

impl Histogram {
    const fn new() -> Self {
        Self([0; 256])
    }

    fn add(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.0[usize::from(*byte)] += 1);
    }

    fn of(bytes: &[u8]) -> Self {
        let mut histogram = Self::new();
        histogram.add(bytes);
        histogram
    }

    fn total(&self) -> f64 {
        self.0.iter().sum::<u64>() as f64
    }

    /// Chi-square against the uniform distribution: 255 degrees of freedom.
    fn distance_from_uniform(&self) -> f64 {
        let expected = self.total() / 256.0;
        let parts = self.0.iter().map(|n| (*n as f64 - expected).powi(2));
        parts.sum::<f64>() / expected
    }
}

/// Chi-square of homogeneity: 255 degrees of freedom for every histogram but one.
fn apart(histograms: &[Histogram]) -> f64 {
    let all: f64 = histograms.iter().map(Histogram::total).sum();
    let mut sum = 0.0;
    for value in 0..256 {
        let seen: u64 = histograms.iter().map(|h| h.0[value]).sum();
        for histogram in histograms {
            let expected = seen as f64 * histogram.total() / all;
            sum += (histogram.0[value] as f64 - expected).powi(2) / expected.max(1e-9);
        }
    }
    sum
}

fn looks_uniform(histogram: &Histogram) -> bool {
    histogram.distance_from_uniform() < threshold(255)
}

fn look_alike(histograms: &[Histogram]) -> bool {
    apart(histograms) < threshold(255 * (histograms.len() - 1))
}

/// Contents as different as can be.
fn payloads(seed: u64) -> [Vec<u8>; 4] {
    let capacity = Class::Message.capacity();
    let mut random = vec![0; capacity];
    rng(seed).fill_bytes(&mut random);
    [vec![], vec![0; capacity], vec![0xff; capacity / 2], random]
}

/// Bytes of packets, by what an observer would like to tell: (question, answer).
type Observed = BTreeMap<(&'static str, usize), [Histogram; 2]>;

/// Sends packets of all kinds, `rounds` of each, and sorts their bytes: the whole packet after its prefix,
/// and what follows the ciphertext.
fn observe<K: Tested>(rounds: u64) -> Observed {
    let mut observed = Observed::new();
    let layout = Layout::of::<K>();
    let open = PREFIX_LEN + layout.ciphertext();
    for seed in 0..rounds {
        let contents = payloads(seed);
        for (hops, (content, reply)) in (1..=RELAYS).flat_map(|hops| {
            let contents =
                (0..contents.len()).flat_map(|content| [(content, false), (content, true)]);
            contents.map(move |kind| (hops, kind))
        }) {
            let sending = Sending {
                hops,
                reply,
                seed: seed << 8 | (hops * 10 + content * 2 + usize::from(reply)) as u64,
                ..Sending::default()
            };
            for (at, packet) in (1..).zip(sending.journey::<K>(&contents[content])) {
                assert_eq!(packet.len(), layout.packet(Class::Message));
                let answers = [
                    ("which hop", at),
                    ("how many hops", hops),
                    ("how many hops are left", hops - at),
                    ("what content", content),
                    ("request or reply", usize::from(reply)),
                ];
                for answer in answers {
                    let [whole, uniform] = observed
                        .entry(answer)
                        .or_insert_with(|| [Histogram::new(), Histogram::new()]);
                    whole.add(&packet[PREFIX_LEN..]);
                    uniform.add(&packet[open..]);
                }
            }
        }
    }
    observed
}

fn tells_nothing(observed: &Observed) {
    let questions: BTreeSet<_> = observed.keys().map(|(question, _)| *question).collect();
    for question in questions {
        let answers = observed.iter().filter(|((asked, _), _)| *asked == question);
        let whole: Vec<_> = answers
            .clone()
            .map(|(_, [whole, _])| whole.clone())
            .collect();
        assert!(
            look_alike(&whole),
            "{question}: chi-square {} of {} kinds",
            apart(&whole),
            whole.len()
        );
        for ((_, answer), [_, rest]) in answers {
            let chi_square = rest.distance_from_uniform();
            assert!(looks_uniform(rest), "{question} {answer}: {chi_square}");
        }
    }
}

#[test]
fn packets_of_all_hops_paths_and_contents_look_alike_x25519() {
    tells_nothing(&observe::<X25519Kem>(8));
}

#[test]
fn packets_of_all_hops_paths_and_contents_look_alike_x_wing() {
    tells_nothing(&observe::<XWingKem>(3));
}

#[test]
fn packets_of_all_hops_paths_and_contents_look_alike_rsa_4096() {
    tells_nothing(&observe::<Rsa4096Kem>(1));
}

/// Chi-square of every bit position over many headers, each against a fair coin: one degree of freedom a
/// position. Finds what stands in one place, where a histogram of all bytes would drown it.
fn by_position(headers: &[Vec<u8>]) -> (f64, usize) {
    let positions = 8 * headers[0].len();
    let count = headers.len() as f64;
    let one = |position: usize, header: &Vec<u8>| header[position / 8] >> (position % 8) & 1;
    let parts = (0..positions).map(|position| {
        let ones: f64 = headers.iter().map(|h| f64::from(one(position, h))).sum();
        (2.0 * ones - count).powi(2) / count
    });
    (parts.sum(), positions)
}

/// MAC and routing block as hop `at` of `hops` sees them, of `count` packets.
fn headers(hops: usize, at: usize, count: u64) -> Vec<Vec<u8>> {
    let layout = Layout::of::<X25519Kem>();
    let sent = (0..count).map(|seed| {
        let sending = Sending {
            hops,
            reply: seed % 2 == 0,
            seed: 1000 * at as u64 + seed,
            ..Sending::default()
        };
        let packet = sending.journey::<X25519Kem>(b"").swap_remove(at);
        packet[PREFIX_LEN + layout.ciphertext()..layout.header()].to_vec()
    });
    sent.collect()
}

#[test]
fn no_position_of_a_header_tells_path_or_hop() {
    for (hops, at) in [(1, 0), (2, 1), (4, 0), (4, 3)] {
        let (chi_square, degrees) = by_position(&headers(hops, at, 100));
        assert!(
            chi_square < threshold(degrees),
            "hop {at} of {hops}: {chi_square} with {degrees} degrees of freedom"
        );
    }
}

#[test]
fn a_biased_packet_is_found_out() {
    let mut bytes = vec![0; 600_000];
    rng(1).fill_bytes(&mut bytes);
    let fair = Histogram::of(&bytes);
    assert!(looks_uniform(&fair));
    rng(3).fill_bytes(&mut bytes);
    bytes.iter_mut().step_by(250).for_each(|byte| *byte = 0);
    let biased = Histogram::of(&bytes);
    assert!(!looks_uniform(&biased), "one byte in 250 is always zero");
    assert!(!look_alike(&[fair.clone(), biased]));
    let mut bits = vec![0; 600_000];
    rng(2).fill_bytes(&mut bits);
    assert!(look_alike(&[fair.clone(), Histogram::of(&bits)]));
    // One bit in 20 cleared in one place of the byte.
    bits.iter_mut().step_by(20).for_each(|byte| *byte &= 0x7f);
    assert!(!look_alike(&[fair, Histogram::of(&bits)]));
}

#[test]
fn a_header_with_padding_left_in_it_is_found_out() {
    // What the first Sphinx implementations did with unused hops (Kuhn et al., "Breaking and (Partially)
    // Fixing Provably Secure Onion Routing", IEEE S&P 2020): zeros where a longer path has more.
    let mut padded = headers(1, 0, 100);
    for header in &mut padded {
        let end = header.len();
        header[end - 8..].fill(0);
    }
    let (chi_square, degrees) = by_position(&padded);
    assert!(chi_square > threshold(degrees), "{chi_square}");
}

// --- Nothing links a packet to the next one -----------------------------------------------------------

const WINDOW: usize = 16;

fn windows(bytes: &[u8]) -> BTreeSet<&[u8]> {
    bytes.windows(WINDOW).collect()
}

/// Whether any 16 bytes of `one` stand anywhere in `other`: of random bytes with probability below 2^-90.
fn share_a_window(one: &[u8], other: &[u8]) -> bool {
    let known = windows(one);
    other.windows(WINDOW).any(|window| known.contains(window))
}

fn nothing_links<K: Tested>(hops: usize) {
    let mut payload = vec![0; Class::Message.capacity()];
    rng(77).fill_bytes(&mut payload);
    for reply in [false, true] {
        let sending = Sending {
            hops,
            reply,
            seed: 5,
            ..Sending::default()
        };
        let packets = sending.journey::<K>(&payload);
        for (at, packet) in packets.iter().enumerate() {
            let earlier = &packets[..at];
            assert!(!earlier.iter().any(|other| share_a_window(other, packet)));
            assert!(!share_a_window(&payload, packet), "hop {at} sees content");
        }
    }
}

#[test]
fn no_packet_shares_sixteen_bytes_with_that_of_another_hop() {
    nothing_links::<X25519Kem>(4);
    nothing_links::<XWingKem>(3);
    nothing_links::<Rsa4096Kem>(2);
}

#[test]
fn sixteen_bytes_that_were_carried_over_are_found() {
    let sending = Sending {
        hops: 2,
        ..Sending::default()
    };
    let mut packets = sending.journey::<X25519Kem>(b"");
    let carried = packets[0][500..500 + WINDOW].to_vec();
    packets[1][3000..3000 + WINDOW].copy_from_slice(&carried);
    assert!(share_a_window(&packets[0], &packets[1]));
}

#[test]
fn a_reply_block_shows_nothing_of_itself_in_the_request_that_carries_it() {
    let path: Vec<Hop<X25519Kem>> = (1..).zip(X25519Kem::relays()).take(3).map(hop).collect();
    let tag = ConnectionTag::from_bytes([9; 16]);
    let (surb, _) = build_surb(&path, tag, NOW, &mut rng(1)).unwrap();
    let block = surb.encode();
    let request = build_request(&path, Some(&surb), b"", Class::Message, &mut rng(2)).unwrap();
    let packets = (0..2).scan(request, |packet, at| {
        let before = packet.clone();
        *packet = forwarded::<X25519Kem>(at, before.clone());
        Some(before)
    });
    packets.for_each(|packet| assert!(!share_a_window(&block, &packet)));
}
