//! How somebody looks at a picture: order, filter, place, and the keys for them.

use chrono::{DateTime, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::picture::{Call, Picture, Worker};

/// The longest filter that can be typed. Slugs have 63 characters at most.
const MAX_FILTER_CHARS: usize = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Projects,
    Calls,
}

/// The order of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// What is in trouble, or slow.
    Trouble,
    /// By tenant.
    Tenant,
    /// By calls, or by age: the most first.
    Most,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Trouble => Self::Tenant,
            Self::Tenant => Self::Most,
            Self::Most => Self::Trouble,
        }
    }
}

/// Whether the keys are letters of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    Keys,
    Filter,
}

/// What is to be done after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    Quit,
}

#[derive(Debug)]
pub(super) struct View {
    pub(super) picture: Option<Picture>,
    /// Why there is no newer picture, and since when.
    pub(super) trouble: Option<(String, DateTime<Utc>)>,
    pub(super) pane: Pane,
    pub(super) typing: Typing,
    pub(super) filter: String,
    pub(super) projects: Place,
    pub(super) calls: Place,
}

/// Where one stands in a table.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) sort: Sort,
    /// The first line that is shown.
    pub(super) first: usize,
    /// The lines that have room, as they were drawn last.
    pub(super) room: usize,
}

impl Place {
    fn new() -> Self {
        Self {
            sort: Sort::Trouble,
            first: 0,
            room: 1,
        }
    }

    /// Keeps the last lines in sight, whatever was moved or went away.
    pub(super) fn settle(&mut self, lines: usize, room: usize) {
        self.room = room.max(1);
        self.first = self.first.min(lines.saturating_sub(self.room));
    }
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            picture: None,
            trouble: None,
            pane: Pane::Calls,
            typing: Typing::Keys,
            filter: String::new(),
            projects: Place::new(),
            calls: Place::new(),
        }
    }

    pub(super) fn take(&mut self, answer: anyhow::Result<Picture>, now: DateTime<Utc>) {
        match answer {
            Ok(picture) => {
                self.picture = Some(picture);
                self.trouble = None;
            }
            Err(error) => {
                let since = self.trouble.take().map_or(now, |(_, since)| since);
                self.trouble = Some((format!("{error:#}"), since));
            }
        }
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::GoOn;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Wish::Quit;
        }
        match self.typing {
            Typing::Filter => self.type_filter(key.code),
            Typing::Keys => return self.command(key.code),
        }
        Wish::GoOn
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = Typing::Keys,
            KeyCode::Esc => {
                self.filter.clear();
                self.typing = Typing::Keys;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if self.filter.chars().count() < MAX_FILTER_CHARS => {
                self.filter.push(c);
            }
            _ => {}
        }
    }

    fn command(&mut self, key: KeyCode) -> Wish {
        let place = match self.pane {
            Pane::Projects => &mut self.projects,
            Pane::Calls => &mut self.calls,
        };
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('/') => self.typing = Typing::Filter,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('s') => place.sort = place.sort.next(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.pane = match self.pane {
                    Pane::Projects => Pane::Calls,
                    Pane::Calls => Pane::Projects,
                };
            }
            KeyCode::Up => place.first = place.first.saturating_sub(1),
            // Too far is set right when it is drawn.
            KeyCode::Down => place.first = place.first.saturating_add(1),
            KeyCode::PageUp => place.first = place.first.saturating_sub(place.room),
            KeyCode::PageDown => place.first = place.first.saturating_add(place.room),
            KeyCode::Home => place.first = 0,
            KeyCode::End => place.first = usize::MAX,
            _ => {}
        }
        Wish::GoOn
    }

    /// The projects that are looked at, in order.
    pub(super) fn shown_projects<'a>(&self, picture: &'a Picture) -> Vec<&'a Worker> {
        let matching = |worker: &&Worker| worker.tenant.as_str().contains(&self.filter);
        let mut shown: Vec<&Worker> = picture.workers.iter().filter(matching).collect();
        shown.sort_by_key(|worker| worker.tenant.as_str());
        match self.projects.sort {
            Sort::Tenant => {}
            Sort::Trouble => shown.sort_by_key(|worker| !worker.is_in_trouble()),
            Sort::Most => shown.sort_by_key(|worker| std::cmp::Reverse(worker.active_calls)),
        }
        shown
    }

    /// The calls that are looked at, in order.
    pub(super) fn shown_calls<'a>(&self, picture: &'a Picture) -> Vec<&'a Call> {
        let matching = |call: &&Call| {
            let tenant = call.tenant.as_ref().map_or("", |tenant| tenant.as_str());
            tenant.contains(&self.filter)
        };
        let mut shown: Vec<&Call> = picture.calls.iter().filter(matching).collect();
        shown.sort_by_key(|call| call.started_at);
        match self.calls.sort {
            Sort::Most => {}
            Sort::Tenant => shown.sort_by(|a, b| a.tenant.cmp(&b.tenant)),
            Sort::Trouble => shown.sort_by_key(|call| call.slow(picture.at).is_empty()),
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, keys: &[KeyCode]) -> Wish {
        let mut wish = Wish::GoOn;
        for key in keys {
            wish = view.press(KeyEvent::new(*key, KeyModifiers::NONE));
        }
        wish
    }

    #[test]
    fn a_filter_is_typed_and_its_letters_are_no_commands() {
        let mut view = View::new();
        let keys = ['/', 'q', 's', 'x'].map(KeyCode::Char);
        assert_eq!(press(&mut view, &keys), Wish::GoOn);
        press(&mut view, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!((view.filter.as_str(), view.typing), ("qs", Typing::Keys));
        press(&mut view, &[KeyCode::Esc]);
        assert_eq!(view.filter, "");
        assert_eq!(press(&mut view, &[KeyCode::Char('q')]), Wish::Quit);
        let mut view = View::new();
        press(&mut view, &[KeyCode::Char('/')]);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.press(interrupt), Wish::Quit);
    }

    #[test]
    fn one_moves_within_the_table_and_no_further() {
        let mut view = View::new();
        view.calls.settle(50, 10);
        press(&mut view, &[KeyCode::PageDown, KeyCode::Down]);
        view.calls.settle(50, 10);
        assert_eq!(view.calls.first, 11);
        press(&mut view, &[KeyCode::End]);
        view.calls.settle(50, 10);
        assert_eq!(view.calls.first, 40);
        press(&mut view, &[KeyCode::PageUp, KeyCode::Up]);
        assert_eq!(view.calls.first, 29);
        // Most of the calls have ended meanwhile.
        view.calls.settle(3, 10);
        assert_eq!(view.calls.first, 0);
        assert_eq!(view.projects.first, 0);
    }

    #[test]
    fn trouble_keeps_the_time_of_its_beginning() {
        let mut view = View::new();
        let at = |seconds| DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
        view.take(Err(anyhow::anyhow!("away")), at(1));
        view.take(Err(anyhow::anyhow!("still away")), at(2));
        assert_eq!(view.trouble, Some(("still away".to_owned(), at(1))));
    }
}
