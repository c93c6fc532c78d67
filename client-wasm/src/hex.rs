//! Identifiers as hex text, the form in which JavaScript has them.

/// The `N` bytes of exactly `2 N` hex digits, in either case.
pub(crate) fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().try_fold(0, |byte: u8, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some((byte << 4) | u8::try_from(digit).ok()?)
        })?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exactly_the_digits_needed() {
        assert_eq!(read::<2>("00fF"), Some([0, 255]));
        assert_eq!(read::<2>("00f"), None);
        assert_eq!(read::<2>("00fff"), None);
        assert_eq!(read::<2>("00fg"), None);
        assert_eq!(read::<2>("é00"), None);
        assert_eq!(read::<0>(""), Some([]));
    }
}
