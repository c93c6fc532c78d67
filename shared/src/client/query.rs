//! Lists for people: typed queries that the host's store answers page by page.
//!
//! ```text
//!   query.scan() ──▶ host reads rows, newest first ──▶ client.conversations(rows) / client.messages(rows)
//! ```

use super::engine::Client;
use super::records::{ConversationRow, MessageRow, Record};
use super::store::{Row, Scan, Table};
use super::view::{ConversationView, MessagePage, Mixing};
use crate::id::Address;

/// Messages of one page at most.
pub const MAX_PAGE: usize = 100;

/// A list that somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Every conversation, the newest first.
    Conversations,
    /// A page of a conversation.
    Messages {
        /// With whom.
        address: Address,
        /// Messages above this place; `None` for the newest.
        before: Option<u64>,
        /// At most so many, and never more than [`MAX_PAGE`].
        limit: usize,
    },
}

impl Query {
    /// What the host is to read.
    pub fn scan(&self) -> Scan {
        match self {
            Self::Conversations => Scan {
                table: Table::Conversation,
                partition: Vec::new(),
                before: None,
                limit: usize::MAX,
            },
            Self::Messages {
                address,
                before,
                limit,
            } => Scan {
                table: Table::Message,
                partition: address.as_bytes().to_vec(),
                before: *before,
                limit: page(*limit),
            },
        }
    }
}

impl Client {
    /// Answers [`Query::Conversations`]. Damaged rows are left out.
    pub fn conversations(&self, rows: &[Row]) -> Vec<ConversationView> {
        let rows = rows
            .iter()
            .filter_map(|row| ConversationRow::from_value(&row.value).ok());
        rows.filter_map(|row| self.conversation_view(&row))
            .collect()
    }

    /// Answers [`Query::Messages`] with the rows of its scan, newest first. Damaged rows are left out.
    pub fn messages(&self, rows: &[Row], limit: usize) -> MessagePage {
        let before = rows
            .last()
            .filter(|_| rows.len() >= page(limit))
            .map(|row| row.sort);
        let views = rows
            .iter()
            .rev()
            .filter_map(|row| MessageRow::from_value(&row.value).ok()?.view().ok());
        MessagePage {
            messages: views.map(|view| self.with_reason(view)).collect(),
            before,
        }
    }

    /// How packets are mixed, and what became of the packets that this run has sent to itself.
    pub fn mixing(&self) -> Mixing {
        self.net.mixing()
    }
}

fn page(limit: usize) -> usize {
    limit.clamp(1, MAX_PAGE)
}
