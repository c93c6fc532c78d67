//! The contact code: what one person gives another, as text, as a link or as a QR code.
//!
//! bech32m (BIP 350) with prefix `zen` of Address (32 bytes) ‖ directory Ed25519 key (32 bytes): 113
//! characters. The address says who; the directory key says where to look. BIP 350's promise about
//! few errors ends at 90 characters; beyond that its checksum still misses one error in 2^30.

use core::fmt;
use core::str::FromStr;

use bech32::primitives::decode::UncheckedHrpstringError::Char;
use bech32::primitives::decode::{CharError, CheckedHrpstring, CheckedHrpstringError};
use bech32::{Bech32m, Hrp};
use thiserror::Error;

use super::directory_key::DirectoryKey;
use crate::id::Address;

/// The human-readable part of every code.
const PREFIX: &str = "zen";
const HRP: Hrp = Hrp::parse_unchecked(PREFIX);
/// Characters of a code: prefix, separator, 103 for 64 bytes, 6 of checksum.
const CODE_LEN: usize = 113;
/// What stands before the code in a link.
const LINK_MARK: &str = "#add/";
/// Longest text that is looked at, in bytes; a link with a long origin fits.
const MAX_TEXT_LEN: usize = 2048;

/// Why a text is not a contact code; whoever typed or pasted it can act on each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContactCodeError {
    /// Nothing but whitespace, or a link without a code.
    #[error("there is no contact code here")]
    Empty,
    /// More than 2048 bytes.
    #[error("this is far too long for a contact code")]
    TooLong,
    /// It does not begin with `zen1`.
    #[error("a contact code begins with zen1")]
    WrongPrefix,
    /// Characters are missing or too many.
    #[error("a contact code has 113 characters, this one has {0}")]
    WrongLength(usize),
    /// A character that no contact code contains.
    #[error("the character {0:?} does not occur in contact codes")]
    BadCharacter(char),
    /// At least one character was mistyped.
    #[error("the contact code has a typing error")]
    BadChecksum,
    /// The checksum fits but the directory key is not a key: nobody's client made this code.
    #[error("the contact code does not contain a valid key")]
    BadKey,
}

/// Who somebody is and where their record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContactCode {
    /// The account.
    pub address: Address,
    /// The key that signs the account's directory record.
    pub directory_key: DirectoryKey,
}

impl ContactCode {
    /// The code in upper case, for a QR code (its alphanumeric mode is half the size).
    pub fn qr_text(&self) -> String {
        self.to_string().to_ascii_uppercase()
    }

    /// A link that opens the app and adds the contact: `<origin>/#add/<code>`. The code stands in the
    /// fragment, which browsers do not send to the server.
    pub fn link(&self, origin: &str) -> String {
        format!("{}/{LINK_MARK}{self}", origin.trim_end_matches('/'))
    }

    /// Reads a code or a link. Whitespace and case do not matter.
    pub fn parse(text: &str) -> Result<Self, ContactCodeError> {
        if text.len() > MAX_TEXT_LEN {
            return Err(ContactCodeError::TooLong);
        }
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect();
        let code = text
            .split_once(LINK_MARK)
            .map_or(text.as_str(), |(_, code)| code);
        if code.is_empty() {
            return Err(ContactCodeError::Empty);
        }
        if !code
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with('1'))
        {
            return Err(ContactCodeError::WrongPrefix);
        }
        let length = code.chars().count();
        if length != CODE_LEN {
            return Err(ContactCodeError::WrongLength(length));
        }
        Self::from_data(code)
    }

    /// Reads a lower-case code of the right length.
    fn from_data(code: &str) -> Result<Self, ContactCodeError> {
        let checked = CheckedHrpstring::new::<Bech32m>(code).map_err(|error| match error {
            CheckedHrpstringError::Parse(Char(CharError::InvalidChar(c))) => {
                ContactCodeError::BadCharacter(c)
            }
            _ => ContactCodeError::BadChecksum,
        })?;
        let data: Vec<u8> = checked.byte_iter().collect();
        let (address, key) = data
            .split_at_checked(Address::LEN)
            .ok_or(ContactCodeError::BadKey)?;
        let contact = Self {
            address: Address::try_from(address).map_err(|_| ContactCodeError::BadKey)?,
            directory_key: DirectoryKey::try_from(key).map_err(|_| ContactCodeError::BadKey)?,
        };
        // The three spare bits of the last character must be zero: one contact has one code.
        match contact.to_string() == code {
            true => Ok(contact),
            false => Err(ContactCodeError::BadKey),
        }
    }
}

impl fmt::Display for ContactCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [
            self.address.as_bytes().as_slice(),
            self.directory_key.as_bytes(),
        ]
        .concat();
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, HRP, &data).map_err(|_| fmt::Error)
    }
}

impl FromStr for ContactCode {
    type Err = ContactCodeError;
    fn from_str(text: &str) -> Result<Self, ContactCodeError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DirectorySecret;
    use crate::test_support::rng;
    use proptest::prelude::*;

    fn contact() -> ContactCode {
        let directory_key = DirectorySecret::random(&mut rng(1)).public();
        ContactCode {
            address: Address::from_bytes([7; 32]),
            directory_key,
        }
    }

    #[test]
    fn text_link_and_qr_lead_back() {
        let contact = contact();
        let text = contact.to_string();
        assert!(text.starts_with("zen1"));
        assert_eq!(text.len(), CODE_LEN);
        assert_eq!(ContactCode::parse(&text), Ok(contact));
        assert_eq!(ContactCode::parse(&contact.qr_text()), Ok(contact));
        for origin in [
            "https://zentalk.example",
            "https://zentalk.example/",
            "HTTP://[::1]:8080",
        ] {
            assert_eq!(ContactCode::parse(&contact.link(origin)), Ok(contact));
        }
        assert_eq!(
            contact.link("https://a.example/"),
            format!("https://a.example/#add/{text}")
        );
    }

    #[test]
    fn whitespace_and_case_do_not_matter() {
        let text = contact().to_string();
        let wrapped = format!(
            "  {}\n {}\t{}\u{a0}",
            &text[..40],
            &text[40..80],
            &text[80..]
        );
        assert_eq!(ContactCode::parse(&wrapped), Ok(contact()));
        let capital = format!("Z{}", &text[1..]);
        assert_eq!(ContactCode::parse(&capital), Ok(contact()));
    }

    #[test]
    fn each_mistake_has_its_name() {
        let text = contact().to_string();
        let parse = ContactCode::parse;
        assert_eq!(parse(" \n"), Err(ContactCodeError::Empty));
        assert_eq!(
            parse("https://a.example/#add/"),
            Err(ContactCodeError::Empty)
        );
        assert_eq!(parse(&"z".repeat(3000)), Err(ContactCodeError::TooLong));
        assert_eq!(parse("hello"), Err(ContactCodeError::WrongPrefix));
        assert_eq!(
            parse(&text.replacen("zen", "bc", 1)),
            Err(ContactCodeError::WrongPrefix)
        );
        assert_eq!(parse(&text[..112]), Err(ContactCodeError::WrongLength(112)));
        assert_eq!(
            parse(&format!("{text}q")),
            Err(ContactCodeError::WrongLength(114))
        );
        let odd = format!("{}b{}", &text[..20], &text[21..]);
        assert_eq!(parse(&odd), Err(ContactCodeError::BadCharacter('b')));
        let typo = if &text[20..21] == "q" { "p" } else { "q" };
        let typo = format!("{}{typo}{}", &text[..20], &text[21..]);
        assert_eq!(parse(&typo), Err(ContactCodeError::BadChecksum));
        let plain = bech32::encode::<bech32::Bech32>(HRP, &[7; 64]).unwrap();
        assert_eq!(
            parse(&plain),
            Err(ContactCodeError::BadChecksum),
            "bech32 is not bech32m"
        );
        let no_key = bech32::encode::<Bech32m>(HRP, &[0; 64]).unwrap();
        assert_eq!(parse(&no_key), Err(ContactCodeError::BadKey));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = ContactCode::parse(&text);
        }

        #[test]
        fn any_one_wrong_character_is_noticed(at in 4usize..CODE_LEN, with in "[02-9ac-hj-np-z]") {
            let text = contact().to_string();
            prop_assume!(text[at..=at] != with);
            let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
            prop_assert_eq!(ContactCode::parse(&changed), Err(ContactCodeError::BadChecksum));
        }
    }
}
