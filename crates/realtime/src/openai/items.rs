//! How much audio of each item came, which bounds what can have been heard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{ItemId, duration_of};

use super::client::millis;

/// Items that are remembered. Only the one that is played is ever cut; a few
/// more may be queued behind it.
const MAX_ITEMS: usize = 64;

/// What a truncation becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing was heard: the item goes.
    Delete,
    /// The item ends here.
    At {
        content_index: u32,
        audio_end_ms: u64,
    },
}

#[derive(Debug)]
struct Item {
    id: ItemId,
    content_index: u32,
    /// All that the vendor sent, whether it was handed on or not.
    received: u64,
    /// Where it was cut already.
    limit_ms: u64,
}

/// The audio items of a session, the latest last.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: VecDeque<Item>,
}

impl Items {
    /// `samples` more of an item have come.
    pub(super) fn received(&mut self, id: &ItemId, content_index: u32, samples: u64) {
        if let Some(item) = self.items.iter_mut().rev().find(|item| item.id == *id) {
            item.received = item.received.saturating_add(samples);
            return;
        }
        if self.items.len() == MAX_ITEMS {
            self.items.pop_front();
        }
        self.items.push_back(Item {
            id: id.clone(),
            content_index,
            received: samples,
            limit_ms: u64::MAX,
        });
    }

    /// Whether any audio came yet, which fixes the voice.
    pub(super) fn any(&self) -> bool {
        !self.items.is_empty()
    }

    /// Where to cut an item of which `heard` was heard. `None`: nothing to cut,
    /// because no audio of it is known or it was cut there before.
    pub(super) fn cut(&mut self, id: &ItemId, heard: Duration) -> Option<Cut> {
        let at = self.items.iter().rposition(|item| item.id == *id)?;
        let item = &mut self.items[at];
        let audio_end_ms = millis(heard.min(duration_of(item.received)));
        if audio_end_ms == 0 {
            self.items.remove(at);
            return Some(Cut::Delete);
        }
        if audio_end_ms >= item.limit_ms {
            return None;
        }
        item.limit_ms = audio_end_ms;
        Some(Cut::At {
            content_index: item.content_index,
            audio_end_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(audio_end_ms: u64) -> Option<Cut> {
        Some(Cut::At {
            content_index: 0,
            audio_end_ms,
        })
    }

    #[test]
    fn no_more_is_heard_than_was_received() {
        let mut items = Items::default();
        let id = ItemId::from("item_1");
        items.received(&id, 0, 12_000);
        items.received(&id, 0, 12_000);
        assert_eq!(items.cut(&id, ms(5000)), at(1000));
        assert_eq!(items.cut(&id, ms(700)), at(700));
        assert_eq!(items.cut(&id, ms(800)), None, "it ends at 700 already");
    }

    #[test]
    fn what_was_not_heard_at_all_is_removed_once() {
        let mut items = Items::default();
        let id = ItemId::from("item_1");
        items.received(&id, 0, 24_000);
        assert_eq!(
            items.cut(&id, Duration::from_micros(999)),
            Some(Cut::Delete)
        );
        assert_eq!(items.cut(&id, ms(10)), None);
        assert_eq!(items.cut(&ItemId::from("other"), ms(10)), None);
    }

    #[test]
    fn the_oldest_items_are_forgotten() {
        let mut items = Items::default();
        for i in 0..1000 {
            items.received(&ItemId::from(format!("item_{i}").as_str()), 0, 240);
        }
        assert_eq!(items.items.len(), MAX_ITEMS);
        assert_eq!(items.cut(&ItemId::from("item_0"), ms(5)), None);
        assert_eq!(items.cut(&ItemId::from("item_999"), ms(5)), at(5));
    }

    proptest! {
        #[test]
        fn a_cut_is_never_behind_the_end(received in 0u64..10_000_000, heard in 0u64..1_000_000) {
            let mut items = Items::default();
            let id = ItemId::from("item_1");
            items.received(&id, 0, received);
            if let Some(Cut::At { audio_end_ms, .. }) = items.cut(&id, ms(heard)) {
                prop_assert!(audio_end_ms <= heard);
                prop_assert!(audio_end_ms * 24 <= received);
                prop_assert!(audio_end_ms > 0);
            }
        }
    }
}
