//! The items of the default conversation, in order.

use std::time::Duration;

use super::error::WireError;
use super::item::{Body, Item, Role};

#[derive(Debug, Default)]
pub(super) struct Conversation {
    items: Vec<Item>,
}

/// Where a new item goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    End,
    /// The beginning.
    Root,
    After(&'a str),
}

impl Conversation {
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.items.last().map(|item| item.id.as_str())
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    pub(super) fn get(&self, id: &str) -> Result<&Item, WireError> {
        self.items
            .iter()
            .find(|item| item.id == id)
            .ok_or_else(|| no_such_item("retrieve", id))
    }

    /// All that was said, by whom.
    pub(super) fn history(&self) -> Vec<(Role, String)> {
        self.items
            .iter()
            .filter_map(Item::message)
            .map(|(role, text)| (role, text.to_owned()))
            .collect()
    }

    /// Puts an item in its place and tells the id of the one before.
    pub(super) fn insert(
        &mut self,
        item: Item,
        place: Place<'_>,
    ) -> Result<Option<String>, WireError> {
        if self.items.iter().any(|other| other.id == item.id) {
            let message = format!(
                "Error adding item: an item with ID '{}' already exists.",
                item.id
            );
            return Err(WireError::invalid("item_create_duplicate_item_id", message).at("item.id"));
        }
        if let Body::CallOutput { call_id, .. } = &item.body
            && !self.items.iter().any(
                |other| matches!(&other.body, Body::Call { call_id: known, .. } if known == call_id),
            )
        {
            let message = format!("Tool call ID '{call_id}' not found in conversation.");
            return Err(WireError::invalid("invalid_tool_call_id", message).at("item.call_id"));
        }
        let at = match place {
            Place::End => self.items.len(),
            Place::Root => 0,
            Place::After(id) => {
                let found = self.items.iter().position(|item| item.id == id);
                1 + found.ok_or_else(|| {
                    let message = format!("Previous item with ID '{id}' not found.");
                    WireError::invalid("item_create_invalid_previous_item_id", message)
                        .at("previous_item_id")
                })?
            }
        };
        self.items.insert(at, item);
        Ok(at
            .checked_sub(1)
            .map(|before| self.items[before].id.clone()))
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<(), WireError> {
        let at = self.items.iter().position(|item| item.id == id);
        self.items
            .remove(at.ok_or_else(|| no_such_item("delete", id))?);
        Ok(())
    }

    /// Cuts the audio of a message of the model, and tells the words that remain.
    pub(super) fn truncate(
        &mut self,
        id: &str,
        content_index: u64,
        end: Duration,
    ) -> Result<String, WireError> {
        let item = self
            .get_mut(id)
            .ok_or_else(|| no_such_item("truncate", id))?;
        let Body::Spoken(spoken) = &mut item.body else {
            let message = "Only model output audio messages can be truncated";
            return Err(WireError::invalid("invalid_value", message));
        };
        if content_index != 0 {
            let message = format!("Content part at index {content_index} not found.");
            return Err(WireError::invalid("invalid_value", message).at("content_index"));
        }
        let there = spoken.lasts();
        if end > there {
            let message = format!(
                "Audio content of {}ms is already shorter than {}ms",
                there.as_millis(),
                end.as_millis()
            );
            return Err(WireError::invalid("invalid_value", message));
        }
        spoken.truncated_at = Some(end);
        Ok(spoken.words().to_owned())
    }
}

fn no_such_item(verb: &str, id: &str) -> WireError {
    let doing = match verb {
        "truncate" => "truncating",
        "delete" => "deleting",
        _ => "retrieving",
    };
    WireError::invalid(
        &format!("item_{verb}_invalid_item_id"),
        format!("Error {doing} item: the item with id '{id}' does not exist."),
    )
    .at("item_id")
}
