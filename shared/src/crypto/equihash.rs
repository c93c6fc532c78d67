//! Equihash (Biryukov and Khovratovich, NDSS 2016) with n = 64, k = 3, as the Zcash protocol (§7.7.1) lays it out: a
//! puzzle that takes memory to solve and eight hashes to check.
//!
//! Solutions are checked by the crate of the Zcash project. The solver here is Wagner's algorithm; an error in it
//! could cost its user time and nobody anything else.

use blake2b_simd::{Params, State};
use thiserror::Error;

const N: u32 = 64;
const K: u32 = 3;
/// Bits that two rows must have in common in one round; the index of a leaf has one bit more.
const DIGIT: u32 = N / (K + 1);
const LEAVES: usize = 1 << (DIGIT + 1);
/// Rows of one round that are kept: some more than are expected.
const MAX_ROWS: usize = LEAVES + LEAVES / 4;

/// Length of a nonce, in bytes.
pub const NONCE_LEN: usize = 8;
/// Length of a solution, in bytes: 8 indices of 17 bits.
pub const SOLUTION_LEN: usize = 17;

/// Not a solution of the puzzle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a solution of the puzzle")]
pub struct NotASolution;

/// Checks a solution. Takes a few microseconds.
pub fn verify(
    input: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    solution: &[u8; SOLUTION_LEN],
) -> Result<(), NotASolution> {
    equihash::is_valid_solution(N, K, input, nonce, solution).map_err(|_| NotASolution)
}

/// Every solution for this nonce: two on average, often none. Takes some 10 ms and 6 MiB.
pub fn solve(input: &[u8; 32], nonce: &[u8; NONCE_LEN]) -> Vec<[u8; SOLUTION_LEN]> {
    let leaves = leaves(input, nonce);
    let twos = join(&leaves);
    let fours = join(&twos);
    let mut solutions = Vec::new();
    for_each_pair(&fours, |left, right, rest| {
        if rest != 0 {
            return;
        }
        let indices = [left, right].map(|row| four(&twos, &fours, row));
        if let Some(indices) = indices[0].zip(indices[1]).map(ordered)
            && are_distinct(&indices)
        {
            solutions.push(pack(&indices));
        }
    });
    solutions
}

/// A partial solution: what of its hash is left to be cancelled, and the two rows that it is made of.
#[derive(Clone, Copy)]
struct Row {
    /// The digit that counts next is on top.
    rest: u64,
    left: u32,
    right: u32,
}

/// The hashes of all indices.
fn leaves(input: &[u8; 32], nonce: &[u8; NONCE_LEN]) -> Vec<Row> {
    let mut personal = *b"ZcashPoW\0\0\0\0\0\0\0\0";
    let (_, parameters) = personal.split_at_mut(8);
    parameters.copy_from_slice(&[N.to_le_bytes(), K.to_le_bytes()].concat());
    let mut base: State = Params::new().personal(&personal).to_state();
    base.update(input).update(nonce);
    let mut rows = Vec::with_capacity(LEAVES);
    let (mut block, mut left) = (0_u32, 0_u32);
    while rows.len() < LEAVES {
        let hash = base.clone().update(&block.to_le_bytes()).finalize();
        for bytes in hash.as_array().as_chunks::<8>().0 {
            let rest = u64::from_be_bytes(*bytes);
            rows.push(Row {
                rest,
                left,
                right: 0,
            });
            left += 1;
        }
        block += 1;
    }
    rows
}

/// Rows of pairs whose top digits cancel. A pair that cancels altogether is made of the same leaves twice.
fn join(rows: &[Row]) -> Vec<Row> {
    let mut next = Vec::with_capacity(MAX_ROWS);
    for_each_pair(rows, |left, right, rest| {
        if rest != 0 && next.len() < MAX_ROWS {
            next.push(Row {
                rest: rest << DIGIT,
                left,
                right,
            });
        }
    });
    next
}

/// Calls `found` with every pair of rows whose top digits are equal, and what remains of the two.
///
/// Rows are sorted by counting. Every index below comes from the rows themselves and is within bounds.
fn for_each_pair(rows: &[Row], mut found: impl FnMut(u32, u32, u64)) {
    let digit = |row: &Row| (row.rest >> (u64::BITS - DIGIT)) as usize;
    let mut starts = vec![0_u32; (1 << DIGIT) + 1];
    for row in rows {
        starts[digit(row) + 1] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let mut free = starts.clone();
    let mut sorted = vec![(0_u32, 0_u64); rows.len()];
    for (at, row) in (0_u32..).zip(rows) {
        let slot = &mut free[digit(row)];
        sorted[*slot as usize] = (at, row.rest);
        *slot += 1;
    }
    for bounds in starts.windows(2) {
        let bucket = &sorted[bounds[0] as usize..bounds[1] as usize];
        for (at, (left, a)) in bucket.iter().enumerate() {
            for (right, b) in &bucket[at + 1..] {
                found(*left, *right, a ^ b);
            }
        }
    }
}

/// The four leaves under a row of the last round but one, in the order that the format wants.
fn four(twos: &[Row], fours: &[Row], row: u32) -> Option<[u32; 4]> {
    let row = fours.get(row as usize)?;
    let two = |row: u32| {
        let row = twos.get(row as usize)?;
        Some([row.left.min(row.right), row.left.max(row.right)])
    };
    let ([a, b], [c, d]) = (two(row.left)?, two(row.right)?);
    Some(if a < c { [a, b, c, d] } else { [c, d, a, b] })
}

/// The two halves of a solution, the one with the lower first index first.
fn ordered((left, right): ([u32; 4], [u32; 4])) -> [u32; 8] {
    let (first, second) = if left[0] < right[0] {
        (left, right)
    } else {
        (right, left)
    };
    let mut all = [0; 8];
    for (to, from) in all.iter_mut().zip(first.into_iter().chain(second)) {
        *to = from;
    }
    all
}

fn are_distinct(indices: &[u32; 8]) -> bool {
    let mut sorted = *indices;
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// The indices as a string of bits, 17 each.
fn pack(indices: &[u32; 8]) -> [u8; SOLUTION_LEN] {
    let mut packed = [0; SOLUTION_LEN];
    let (mut bits, mut held) = (0_u64, 0);
    let mut bytes = packed.iter_mut();
    for index in indices {
        bits = (bits << (DIGIT + 1)) | u64::from(*index);
        held += DIGIT + 1;
        while held >= u8::BITS {
            held -= u8::BITS;
            if let Some(byte) = bytes.next() {
                *byte = (bits >> held) as u8;
            }
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: [u8; 32] = [7; 32];

    #[test]
    fn the_zcash_verifier_takes_what_the_solver_finds_and_nothing_else() {
        let mut found = 0;
        for nonce in (0_u64..4).map(u64::to_be_bytes) {
            for solution in solve(&INPUT, &nonce) {
                found += 1;
                assert_eq!(verify(&INPUT, &nonce, &solution), Ok(()));
                assert_eq!(verify(&[8; 32], &nonce, &solution), Err(NotASolution));
                let other = 99_u64.to_be_bytes();
                assert_eq!(verify(&INPUT, &other, &solution), Err(NotASolution));
                for bit in 0..8 * SOLUTION_LEN {
                    let mut bent = solution;
                    bent[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(verify(&INPUT, &nonce, &bent), Err(NotASolution), "{bit}");
                }
            }
        }
        assert!(found > 0, "two a nonce on average");
    }

    #[test]
    fn what_cancels_trivially_is_no_solution() {
        assert_eq!(
            verify(&INPUT, &[0; 8], &[0; SOLUTION_LEN]),
            Err(NotASolution)
        );
        assert_eq!(
            verify(&INPUT, &[0; 8], &[0xff; SOLUTION_LEN]),
            Err(NotASolution)
        );
    }

    #[test]
    fn indices_are_packed_in_order_of_their_bits() {
        let mut packed = [0; SOLUTION_LEN];
        packed[2] = 0x80;
        packed[SOLUTION_LEN - 1] = 3;
        assert_eq!(pack(&[1, 0, 0, 0, 0, 0, 0, 3]), packed);
    }
}
