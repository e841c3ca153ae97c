//! The client's and the model's items in the conversation.

use std::time::Duration;

use serde_json::json;

use super::Core;
use crate::model::conversation::Place;
use crate::model::error::WireError;
use crate::model::item::{Body, Item};
use crate::model::params::Param;
use crate::model::record::Note;

impl Core {
    pub(super) fn create_item(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let id = self.new_id("item");
        let item = match event.get("item")? {
            Some(item) => Item::from_client(&Param::new("item", item.value), id)?,
            None => return Err(WireError::missing("item")),
        };
        let previous = event
            .get("previous_item_id")?
            .filter(|previous| !previous.value.is_null());
        match previous.map(|previous| previous.string()).transpose()? {
            None => self.add_item(item, Place::End),
            Some("root") => self.add_item(item, Place::Root),
            Some(id) => self.add_item(item, Place::After(id)),
        }
    }

    pub(super) fn add_item(&mut self, item: Item, place: Place<'_>) -> Result<(), WireError> {
        let json = item.json();
        let previous = self.conversation.insert(item, place)?;
        for kind in ["added", "done"] {
            self.send(json!({
                "type": format!("conversation.item.{kind}"),
                "previous_item_id": previous,
                "item": json,
            }));
        }
        self.note_history();
        Ok(())
    }

    pub(super) fn retrieve_item(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let item = self
            .conversation
            .get(event.require("item_id")?.string()?)?
            .json();
        self.send(json!({ "type": "conversation.item.retrieved", "item": item }));
        Ok(())
    }

    pub(super) fn delete_item(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let id = event.require("item_id")?.string()?;
        self.conversation.delete(id)?;
        self.send(json!({ "type": "conversation.item.deleted", "item_id": id }));
        self.note_history();
        Ok(())
    }

    pub(super) fn truncate(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let field = |name: &str| event.get(name)?.ok_or_else(|| WireError::missing(name));
        let (item_id, content_index) = (field("item_id")?, field("content_index")?);
        let end_ms = field("audio_end_ms")?.integer(0..=u64::from(u32::MAX))?;
        let (item_id, content_index) = (
            item_id.string()?,
            content_index.integer(0..=u64::from(u32::MAX))?,
        );
        let audio_end = Duration::from_millis(end_ms);
        let words = self
            .conversation
            .truncate(item_id, content_index, audio_end)?;
        self.send(json!({
            "type": "conversation.item.truncated",
            "item_id": item_id,
            "content_index": content_index,
            "audio_end_ms": end_ms,
        }));
        self.note(Note::Truncated {
            item_id: item_id.to_owned(),
            audio_end,
            words,
        });
        self.note_history();
        Ok(())
    }

    pub(super) fn item_done(&mut self, mut item: Item) {
        let Some(kept) = self.conversation.get_mut(&item.id) else {
            return;
        };
        // It may have been truncated while it was still being sent.
        if let (Body::Spoken(done), Body::Spoken(kept)) = (&mut item.body, &kept.body) {
            done.truncated_at = kept.truncated_at;
        }
        *kept = item;
        let json = kept.json();
        let at = self
            .conversation
            .items()
            .iter()
            .position(|item| json["id"] == item.id.as_str());
        let previous = at
            .and_then(|at| at.checked_sub(1))
            .map(|before| self.conversation.items()[before].id.clone());
        self.send(json!({
            "type": "conversation.item.done",
            "previous_item_id": previous,
            "item": json,
        }));
    }
}
