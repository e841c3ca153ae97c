//! Which spares are kept. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

use trunkline_domain::same_secret;

use crate::Endpoint;

/// For how long after a session was wanted another one is kept in reserve.
const WANTED_FOR: Duration = Duration::from_secs(10 * 60);
/// A spare is opened anew at this age: what lies between forgets quiet connections, and the
/// session's own hour is to be the call's.
const FRESH_FOR: Duration = Duration::from_secs(4 * 60);
/// How soon it is tried again after one could not be opened.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);
/// How soon it is looked again whether spares were closed by their vendors.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A session with a model somewhere.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) endpoint: Endpoint,
    pub(super) model: String,
}

impl Want {
    pub(super) fn new(endpoint: &Endpoint, model: &str) -> Self {
        Self {
            endpoint: endpoint.clone(),
            model: model.to_owned(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.model == other.model
            && self.endpoint.kind == other.endpoint.kind
            && self.endpoint.base_url == other.endpoint.base_url
            && same_secret(&self.endpoint.api_key, &other.endpoint.api_key)
    }
}

#[derive(Debug)]
struct Place<S> {
    want: Want,
    wanted_at: Instant,
    spare: Option<(S, Instant)>,
    is_opening: bool,
    not_before: Option<Instant>,
}

/// The spares, and for what.
#[derive(Debug)]
pub(super) struct Spares<S> {
    /// The latest wanted at the end.
    places: Vec<Place<S>>,
    most: usize,
}

impl<S> Spares<S> {
    /// `most`: spares at the same time. 0: none.
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: Vec::new(),
            most,
        }
    }

    /// Takes the spare, if there is one, and remembers that it was wanted.
    pub(super) fn take(&mut self, want: &Want, now: Instant) -> Option<S> {
        if self.most == 0 {
            return None;
        }
        let at = self.places.iter().position(|place| place.want.is(want));
        let mut place = match at {
            Some(at) => self.places.remove(at),
            None => Place {
                want: want.clone(),
                wanted_at: now,
                spare: None,
                is_opening: false,
                not_before: None,
            },
        };
        if self.places.len() == self.most {
            self.places.remove(0);
        }
        place.wanted_at = now;
        let spare = place.spare.take();
        self.places.push(place);
        spare
            .filter(|(_, opened)| now < *opened + FRESH_FOR)
            .map(|(spare, _)| spare)
    }

    /// The next spare to open. Lets go of those that are not wanted any more, are stale, or
    /// were closed.
    pub(super) fn next_to_open(
        &mut self,
        now: Instant,
        is_open: impl Fn(&S) -> bool,
    ) -> Option<Want> {
        self.places
            .retain(|place| now < place.wanted_at + WANTED_FOR);
        for place in &mut self.places {
            place
                .spare
                .take_if(|(spare, opened)| now >= *opened + FRESH_FOR || !is_open(spare));
        }
        let place = self.places.iter_mut().rev().find(|place| {
            place.spare.is_none()
                && !place.is_opening
                && place.not_before.is_none_or(|at| at <= now)
        })?;
        place.is_opening = true;
        Some(place.want.clone())
    }

    /// A spare was opened.
    pub(super) fn put(&mut self, want: &Want, spare: S, now: Instant) {
        if let Some(place) = self.place(want) {
            place.is_opening = false;
            place.not_before = None;
            place.spare = Some((spare, now));
        }
    }

    /// No spare could be opened.
    pub(super) fn failed(&mut self, want: &Want, now: Instant) {
        if let Some(place) = self.place(want) {
            place.is_opening = false;
            place.not_before = Some(now + FAILURE_PAUSE);
        }
    }

    /// When to look again.
    pub(super) fn due(&self, now: Instant) -> Instant {
        if self.places.is_empty() {
            // Woken by the first that is wanted.
            now + WANTED_FOR
        } else {
            now + LOOK_AGAIN
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
    }

    fn place(&mut self, want: &Want) -> Option<&mut Place<S>> {
        self.places.iter_mut().find(|place| place.want.is(want))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_domain::ProviderKind;

    use super::*;

    fn want(model: &str) -> Want {
        with_key(model, "key")
    }

    fn with_key(model: &str, key: &str) -> Want {
        let endpoint = Endpoint {
            kind: ProviderKind::OpenAi,
            base_url: "https://model.example/v1".parse().unwrap(),
            api_key: key.into(),
        };
        Want::new(&endpoint, model)
    }

    fn opens(spares: &mut Spares<u32>, now: Instant) -> Option<String> {
        let want = spares.next_to_open(now, |spare| *spare > 0)?;
        Some(want.model)
    }

    #[test]
    fn what_was_wanted_is_kept_in_reserve_for_a_while_and_taken_once() {
        let now = Instant::now();
        let mut spares = Spares::new(2);
        assert_eq!(spares.take(&want("a"), now), None);
        assert_eq!(opens(&mut spares, now).as_deref(), Some("a"));
        assert_eq!(opens(&mut spares, now), None, "it is being opened");
        spares.put(&want("a"), 1, now);
        assert_eq!(opens(&mut spares, now), None);
        assert_eq!(spares.take(&with_key("a", "other"), now), None);
        assert_eq!(spares.take(&want("a"), now), Some(1));
        assert_eq!(spares.take(&want("a"), now), None);
        let later = now + WANTED_FOR;
        assert_eq!(opens(&mut spares, later), None);
    }

    #[test]
    fn a_spare_that_is_stale_or_was_closed_is_opened_anew() {
        let now = Instant::now();
        let mut spares = Spares::new(2);
        spares.take(&want("a"), now);
        opens(&mut spares, now);
        spares.put(&want("a"), 1, now);
        let stale = now + FRESH_FOR;
        assert_eq!(opens(&mut spares, stale).as_deref(), Some("a"));
        // 0 is closed.
        spares.put(&want("a"), 0, stale);
        assert_eq!(opens(&mut spares, stale).as_deref(), Some("a"));
        spares.failed(&want("a"), stale);
        assert_eq!(opens(&mut spares, stale), None);
        assert_eq!(
            opens(&mut spares, stale + FAILURE_PAUSE).as_deref(),
            Some("a")
        );
    }

    #[test]
    fn only_the_latest_have_spares_and_none_where_none_are_wanted() {
        let now = Instant::now();
        let mut spares = Spares::new(2);
        for model in ["a", "b", "c"] {
            assert_eq!(spares.take(&want(model), now), None::<u32>);
        }
        assert_eq!(opens(&mut spares, now).as_deref(), Some("c"));
        assert_eq!(opens(&mut spares, now).as_deref(), Some("b"));
        assert_eq!(opens(&mut spares, now), None);

        let mut none = Spares::new(0);
        none.take(&want("a"), now);
        assert_eq!(opens(&mut none, now), None);
    }
}
