//! From requests to commands and queries of the engine, and back to answers.

use zentalk_shared::client::{Client, Command, CommandError, Event, Query};
use zentalk_shared::id::{Address, MessageId};
use zentalk_shared::identity::{ContactCode, ContactCodeError, ScanError, ScannedSafetyNumber};

use crate::api::{
    Answer, ApiError, Contact, Conversation, ErrorCode, Me, MeContext, Message, MessagePage,
    Request, SafetyComparison, State, ZenTalkEvent,
};
use crate::hex;
use crate::store::{Store, StoreError};

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    State,
    Me,
    Contact(Address),
    Contacts,
    Message(MessageId),
    Query(Query),
    SafetyNumber(Address),
    Comparison(Address, Result<ScannedSafetyNumber, ScanError>),
    Connection,
    Network,
    Cover,
    Done,
}

/// A request as the engine understands it: perhaps a command, and what to answer after it.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) command: Option<Command>,
    pub(super) want: Want,
}

impl Task {
    const fn read(want: Want) -> Self {
        Self {
            command: None,
            want,
        }
    }

    /// Reads a request. `Create`, `SetRoute` and `Erase` are not the engine's business and are asked for nothing.
    pub(super) fn new(request: Request) -> Result<Self, ApiError> {
        Ok(match request {
            Request::State => Self::read(Want::State),
            Request::Me | Request::Create { .. } => Self::read(Want::Me),
            Request::Contacts => Self::read(Want::Contacts),
            Request::Conversations => Self::read(Want::Query(Query::Conversations)),
            Request::Messages {
                address,
                before,
                limit,
            } => Self::read(Want::Query(Query::Messages {
                address: parse_address(&address)?,
                before: before.map(|cursor| cursor.ordered_at),
                limit: limit as usize,
            })),
            Request::SafetyNumber { address } => {
                Self::read(Want::SafetyNumber(parse_address(&address)?))
            }
            Request::CompareSafetyNumber { address, scanned } => {
                let scanned = ScannedSafetyNumber::parse(&scanned);
                Self::read(Want::Comparison(parse_address(&address)?, scanned))
            }
            Request::Connection => Self::read(Want::Connection),
            Request::Network => Self::read(Want::Network),
            Request::Cover => Self::read(Want::Cover),
            Request::SetRoute { .. } | Request::Erase => Self::read(Want::Done),
            request => Self::command(request)?,
        })
    }

    fn command(request: Request) -> Result<Self, ApiError> {
        let (command, want) = match request {
            Request::Rename { name } => (Command::Rename { name }, Want::Me),
            Request::AddContact { code, name } => {
                let code = contact_code(&code)?;
                let name = name.filter(|name| !name.trim().is_empty());
                let want = Want::Contact(code.address);
                (Command::AddContact { code, name }, want)
            }
            Request::RenameContact { address, name } => {
                let address = parse_address(&address)?;
                let command = Command::RenameContact { address, name };
                (command, Want::Contact(address))
            }
            Request::Send { address, text, id } => {
                let (address, id) = (parse_address(&address)?, parse_message_id(&id)?);
                (Command::Send { address, id, text }, Want::Message(id))
            }
            Request::Retry {
                address,
                message_id,
            } => {
                let (address, id) = (parse_address(&address)?, parse_message_id(&message_id)?);
                (Command::Retry { address, id }, Want::Message(id))
            }
            Request::MarkRead { address } => {
                let address = parse_address(&address)?;
                (Command::MarkRead { address }, Want::Done)
            }
            Request::SetVerified { address, verified } => {
                let address = parse_address(&address)?;
                let command = Command::SetVerified { address, verified };
                (command, Want::Contact(address))
            }
            Request::AcceptKeys { address } => {
                let address = parse_address(&address)?;
                (Command::AcceptKeys { address }, Want::Contact(address))
            }
            // Every other request only reads.
            _ => return Err(ApiError::new(ErrorCode::Internal)),
        };
        Ok(Self {
            command: Some(command),
            want,
        })
    }
}

/// Answers from the engine, its store and the events of the turn in which the command was taken.
pub(super) async fn answer(
    want: Want,
    client: &Client,
    store: &Store,
    events: &[Event],
    context: &MeContext,
) -> Result<Result<Answer, ApiError>, StoreError> {
    let me = || Me::new(&client.me(), context);
    Ok(Ok(match want {
        Want::State => Answer::State(State::Ready { me: me() }),
        Want::Me => Answer::Me(me()),
        Want::Contacts => Answer::Contacts(contacts(client).collect()),
        Want::Contact(address) => {
            let address = address.to_string();
            match contacts(client).find(|contact| contact.address == address) {
                Some(contact) => Answer::Contact(contact),
                None => return Ok(Err(ApiError::new(ErrorCode::UnknownContact))),
            }
        }
        Want::Message(id) => {
            // Several events may speak of it; the last is how it is now.
            let message = events.iter().rev().find_map(|event| match event {
                Event::Message(message) if message.id == id => Some(message.clone()),
                _ => None,
            });
            match message {
                Some(message) => Answer::Message(Message::from(message)),
                None => return Ok(Err(ApiError::new(ErrorCode::UnknownMessage))),
            }
        }
        Want::Query(query) => {
            let rows = store.scan(&query.scan()).await?;
            match query {
                Query::Conversations => {
                    let views = client.conversations(&rows).into_iter();
                    Answer::Conversations(views.map(Conversation::from).collect())
                }
                Query::Messages { limit, .. } => {
                    Answer::Page(MessagePage::from(client.messages(&rows, limit)))
                }
            }
        }
        Want::SafetyNumber(address) => match client.safety_number(&address) {
            Ok(number) => Answer::SafetyNumber(number.into()),
            Err(error) => return Ok(Err(error.into())),
        },
        Want::Comparison(address, scanned) => match client.safety_number(&address) {
            Ok(number) => {
                let compared = scanned.map(|scanned| number.compare(&scanned));
                Answer::Comparison(SafetyComparison::from(compared))
            }
            Err(error) => return Ok(Err(error.into())),
        },
        Want::Connection => Answer::Connection(client.connection().into()),
        Want::Network => Answer::Network(client.network().into()),
        Want::Cover => Answer::Cover(client.mixing().into()),
        Want::Done => Answer::Done,
    }))
}

fn contacts(client: &Client) -> impl Iterator<Item = Contact> {
    client.contacts().into_iter().map(Contact::from)
}

/// An event of the engine as tabs get it.
pub(super) fn event(event: Event, context: &MeContext) -> ZenTalkEvent {
    match event {
        Event::Me(me) => ZenTalkEvent::Me {
            me: Me::new(&me, context),
        },
        Event::Contact(contact) => ZenTalkEvent::Contact {
            contact: contact.into(),
        },
        Event::Conversation(conversation) => ZenTalkEvent::Conversation {
            conversation: conversation.into(),
        },
        Event::Message(message) => ZenTalkEvent::Message {
            message: message.into(),
        },
        Event::Connection(connection) => ZenTalkEvent::Connection {
            connection: connection.into(),
        },
        Event::Network(network) => ZenTalkEvent::Network {
            network: network.into(),
        },
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::OwnCode => Self::new(ErrorCode::OwnCode),
            CommandError::UnknownContact => Self::new(ErrorCode::UnknownContact),
            CommandError::EmptyText => Self::new(ErrorCode::EmptyText),
            CommandError::TextTooLong(_) => Self::new(ErrorCode::TooLarge),
            CommandError::Name => Self::name(),
            CommandError::KeysUnknown => Self::new(ErrorCode::KeysUnknown),
            CommandError::OutboxFull => Self::with(
                ErrorCode::TooLarge,
                "Too many messages are waiting to be sent. Wait until some are out.",
            ),
        }
    }
}

fn contact_code(text: &str) -> Result<ContactCode, ApiError> {
    find_code(text).map_err(|error| {
        let mut sentence = error.to_string();
        // The engine's texts are parts of sentences.
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        ApiError::with(ErrorCode::BadCode, &format!("{sentence}."))
    })
}

/// Takes the code out of pasted text: the text as a whole, else the first word that is one.
fn find_code(text: &str) -> Result<ContactCode, ContactCodeError> {
    let whole = ContactCode::parse(text);
    whole.or_else(|error| {
        let words = text.split_whitespace().take(MAX_WORDS);
        words
            .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
            .find_map(|word| ContactCode::parse(word).ok())
            .ok_or(error)
    })
}

/// Words of pasted text that are looked at.
const MAX_WORDS: usize = 1000;

fn parse_address(text: &str) -> Result<Address, ApiError> {
    let bytes = hex::read(text).ok_or_else(|| ApiError::new(ErrorCode::UnknownContact))?;
    Ok(Address::from_bytes(bytes))
}

fn parse_message_id(text: &str) -> Result<MessageId, ApiError> {
    let bytes = hex::read(text).ok_or_else(|| ApiError::new(ErrorCode::UnknownMessage))?;
    Ok(MessageId::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zentalk_shared::identity::DirectorySecret;

    /// Of a test account; its checksum is right.
    fn code() -> String {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let directory = DirectorySecret::random(&mut rng);
        ContactCode {
            address: Address::from_bytes([3; 32]),
            directory_key: directory.public(),
        }
        .to_string()
    }

    #[test]
    fn a_code_is_found_in_pasted_text() {
        let code = code();
        for text in [
            code.clone(),
            code.to_ascii_uppercase(),
            format!("  {code}\n"),
            format!("https://zentalk.example/#add/{code}"),
            format!("Hello! Add me: https://zentalk.example/#add/{code}. Bye"),
            format!("my code is ({code}), ok?"),
        ] {
            let found = contact_code(&text).map(|found| found.to_string());
            assert_eq!(found.as_deref(), Ok(code.as_str()), "{text}");
        }
    }

    #[test]
    fn a_text_without_a_code_is_refused_with_a_sentence() {
        for text in ["", "hello", "zen1qqq", &"x".repeat(100_000)] {
            let refused = contact_code(text).unwrap_err();
            assert_eq!(refused.code, ErrorCode::BadCode);
            assert!(refused.message.starts_with(|c: char| c.is_uppercase()));
            assert!(refused.message.ends_with('.'));
        }
    }

    #[test]
    fn requests_name_people_and_messages_in_hex() {
        let send = |address: &str, id: &str| {
            Task::new(Request::Send {
                address: address.into(),
                text: "hi".into(),
                id: id.into(),
            })
        };
        let (address, id) = ("ab".repeat(32), "cd".repeat(16));
        let task = send(&address, &id).unwrap();
        assert_eq!(task.want, Want::Message(MessageId::from_bytes([0xcd; 16])));
        let unknown = send("ab", &id).unwrap_err();
        assert_eq!(unknown.code, ErrorCode::UnknownContact);
        let unknown = send(&address, "cd").unwrap_err();
        assert_eq!(unknown.code, ErrorCode::UnknownMessage);
    }

    #[test]
    fn a_scanned_text_is_read_before_it_is_compared() {
        let compare = |scanned: &str| {
            Task::new(Request::CompareSafetyNumber {
                address: "ab".repeat(32),
                scanned: scanned.into(),
            })
        };
        let address = Address::from_bytes([0xab; 32]);
        let task = compare("hello").unwrap();
        let nothing = Want::Comparison(address, Err(ScanError::NotASafetyNumber));
        assert_eq!((task.command, task.want), (None, nothing));
        let verified = Request::SetVerified {
            address: "ab".repeat(32),
            verified: true,
        };
        let task = Task::new(verified).unwrap();
        assert_eq!(task.want, Want::Contact(address));
        assert!(task.command.is_some());
    }

    #[test]
    fn requests_that_only_read_command_nothing() {
        for request in [
            Request::State,
            Request::Me,
            Request::Contacts,
            Request::Conversations,
            Request::Connection,
            Request::Network,
            Request::Cover,
            Request::SafetyNumber {
                address: "ab".repeat(32),
            },
        ] {
            assert_eq!(Task::new(request).unwrap().command, None);
        }
    }
}
