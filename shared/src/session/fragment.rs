//! Fragments: a session message cut to the size of envelopes. Fixed layout, PROTOCOL §8.
//!
//! ```text
//!   set id[16] ‖ index u16 ‖ count u16 ‖ length u16 ‖ data[length] ‖ zeros, 6864 bytes in all
//! ```
//! Every fragment but the last is full, so a message has one way only to be cut.

use rand_core::CryptoRng;
use thiserror::Error;

use crate::wire::budget::{
    FRAGMENT_DATA_LEN, FRAGMENT_HEADER_LEN, FRAGMENT_LEN, MAX_SESSION_MESSAGE_LEN,
};

/// The most fragments of one message: enough for 1 MiB of content.
pub const MAX_FRAGMENTS: u16 = 160;

/// Names the fragments of one message: random, and seen by nobody but sender and receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub [u8; 16]);

/// Names one fragment: set id ‖ index, 18 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey(pub [u8; 18]);

/// One fragment; valid by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    set: SetId,
    index: u16,
    count: u16,
    data: Vec<u8>,
}

/// Bytes are not a fragment; the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FragmentError {
    /// No fragments, or more than [`MAX_FRAGMENTS`].
    #[error("a message cannot have {0} fragments")]
    Count(u16),
    /// The index is not below the count.
    #[error("fragment {index} of {count}")]
    Index {
        /// Index claimed.
        index: u16,
        /// Count claimed.
        count: u16,
    },
    /// Longer than there is room for, empty, or not full although not the last.
    #[error("a fragment cannot hold {0} bytes here")]
    Length(u16),
    /// Something other than zeros after the data.
    #[error("the padding of a fragment is not zero")]
    Padding,
}

/// The caller's message cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a session message has 1 to {MAX_SESSION_MESSAGE_LEN} bytes, not {0}")]
pub struct MessageLength(pub usize);

/// Cuts a session message of 1 to [`MAX_SESSION_MESSAGE_LEN`] bytes into fragments.
pub fn split(message: &[u8], rng: &mut impl CryptoRng) -> Result<Vec<Fragment>, MessageLength> {
    let wrong = MessageLength(message.len());
    if message.is_empty() || message.len() > MAX_SESSION_MESSAGE_LEN {
        return Err(wrong);
    }
    let mut set = SetId([0; 16]);
    rng.fill_bytes(&mut set.0);
    let count = u16::try_from(message.len().div_ceil(FRAGMENT_DATA_LEN)).map_err(|_| wrong)?;
    let parts = message.chunks(FRAGMENT_DATA_LEN).zip(0..);
    Ok(parts
        .map(|(data, index)| Fragment {
            set,
            index,
            count,
            data: data.to_vec(),
        })
        .collect())
}

impl Fragment {
    /// Which message it belongs to.
    pub const fn set(&self) -> SetId {
        self.set
    }

    /// Its place, from zero.
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// How many there are in its set.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Its part of the message.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Takes the part of the message.
    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Set id and index.
    pub fn key(&self) -> FragmentKey {
        let mut key = [0; 18];
        let index = self.index.to_be_bytes();
        key.iter_mut()
            .zip(self.set.0.iter().chain(&index))
            .for_each(|(to, from)| *to = *from);
        FragmentKey(key)
    }

    /// The fixed layout, padded with zeros.
    pub fn encode(&self) -> Box<[u8; FRAGMENT_LEN]> {
        let mut out = Box::new([0; FRAGMENT_LEN]);
        // Within u16: the data of a fragment is at most 6842 bytes.
        let length = u16::try_from(self.data.len()).unwrap_or(u16::MAX);
        let numbers = [self.index, self.count, length].map(u16::to_be_bytes);
        let bytes = self
            .set
            .0
            .iter()
            .chain(numbers.as_flattened())
            .chain(&self.data);
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads the fixed layout and checks everything in it.
    pub fn decode(bytes: &[u8; FRAGMENT_LEN]) -> Result<Self, FragmentError> {
        let (header, data) = split_header(bytes);
        let Numbers {
            set,
            index,
            count,
            length,
        } = header;
        if count == 0 || count > MAX_FRAGMENTS {
            return Err(FragmentError::Count(count));
        }
        if index >= count {
            return Err(FragmentError::Index { index, count });
        }
        let (data, padding) = data
            .split_at_checked(usize::from(length))
            .ok_or(FragmentError::Length(length))?;
        let is_last = index + 1 == count;
        if data.is_empty() || (!is_last && data.len() < FRAGMENT_DATA_LEN) {
            return Err(FragmentError::Length(length));
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FragmentError::Padding);
        }
        Ok(Self {
            set,
            index,
            count,
            data: data.to_vec(),
        })
    }
}

struct Numbers {
    set: SetId,
    index: u16,
    count: u16,
    length: u16,
}

fn split_header(bytes: &[u8; FRAGMENT_LEN]) -> (Numbers, &[u8]) {
    let (header, data) = bytes.split_at(FRAGMENT_HEADER_LEN);
    let (mut set, mut numbers) = ([0; 16], [[0; 2]; 3]);
    let into = set.iter_mut().chain(numbers.as_flattened_mut());
    into.zip(header).for_each(|(to, from)| *to = *from);
    let [index, count, length] = numbers.map(u16::from_be_bytes);
    (
        Numbers {
            set: SetId(set),
            index,
            count,
            length,
        },
        data,
    )
}

const _: () = assert!(MAX_FRAGMENTS as usize * FRAGMENT_DATA_LEN >= MAX_SESSION_MESSAGE_LEN);
const _: () = assert!(FRAGMENT_DATA_LEN <= u16::MAX as usize);
