//! The receiving side of a track.

use std::sync::Arc;

use super::{KeySet, Keys, frame};
use crate::native::frame_cryptor::EncryptionState;

/// What became of an encrypted frame.
pub(crate) enum Opened<'a> {
    /// This is the frame.
    Frame(&'a [u8]),
    /// It cannot be read, and is to be forgotten.
    Dropped,
    /// Likewise; successors of this key might have read it, and are to be derived
    /// ([`Keys::climb`]) where that holds nobody up.
    Unratcheted(Arc<KeySet>),
}

/// Decrypts the frames of one track.
pub(crate) struct Opener {
    /// The key that fails, and how many frames in a row it has failed.
    failing: Option<(Arc<KeySet>, u32)>,
    state: EncryptionState,
    opened: Vec<u8>,
}

impl Default for Opener {
    fn default() -> Self {
        Self {
            failing: None,
            state: EncryptionState::New,
            opened: Vec::new(),
        }
    }
}

impl Opener {
    /// Decrypts a frame. `tell` hears of every change of the state.
    pub(crate) fn open<'a>(
        &'a mut self,
        keys: &Keys,
        participant: &str,
        frame: &'a [u8],
        mut tell: impl FnMut(EncryptionState),
    ) -> Opened<'a> {
        if let Some(rest) = keys.injected(frame) {
            return if frame::is_blank(rest) {
                Opened::Frame(rest)
            } else {
                Opened::Dropped
            };
        }
        let Some(parts) = frame::Parts::of(frame) else {
            self.become_state(EncryptionState::DecryptionFailed, &mut tell);
            return Opened::Dropped;
        };
        let Some((index, set)) = keys.find(participant, parts.key_index.into()) else {
            self.become_state(EncryptionState::MissingKey, &mut tell);
            return Opened::Dropped;
        };
        if self.has_given_up(&set, keys) {
            return Opened::Dropped;
        }
        let mut tried = &set;
        let mut steps = 0;
        loop {
            if parts.open(tried, &mut self.opened).is_ok() {
                break;
            }
            if steps == keys.policy.window {
                self.fail(&set, keys, &mut tell);
                return Opened::Dropped;
            }
            let Some(next) = tried.derived_successor() else {
                return Opened::Unratcheted(set);
            };
            tried = next;
            steps += 1;
        }
        self.failing = None;
        if steps > 0 && keys.advance(participant, index, &set, tried) {
            self.become_state(EncryptionState::KeyRatcheted, &mut tell);
        }
        self.become_state(EncryptionState::Ok, &mut tell);
        Opened::Frame(&self.opened)
    }

    /// Drops a frame, because its cipher is not in this engine.
    pub(crate) fn refuse(&mut self, mut tell: impl FnMut(EncryptionState)) -> Opened<'_> {
        self.become_state(EncryptionState::DecryptionFailed, &mut tell);
        Opened::Dropped
    }

    fn has_given_up(&self, set: &Arc<KeySet>, keys: &Keys) -> bool {
        match (&self.failing, keys.policy.tolerance) {
            (Some((failing, count)), Some(tolerance)) => {
                Arc::ptr_eq(failing, set) && *count > tolerance
            }
            _ => false,
        }
    }

    /// Counts a frame that no key reads. The state says so once a key is given up, and at once
    /// where it never is.
    fn fail(&mut self, set: &Arc<KeySet>, keys: &Keys, tell: &mut impl FnMut(EncryptionState)) {
        let count = match &self.failing {
            Some((failing, count)) if Arc::ptr_eq(failing, set) => count.saturating_add(1),
            _ => 1,
        };
        self.failing = Some((Arc::clone(set), count));
        if keys
            .policy
            .tolerance
            .is_none_or(|tolerance| count > tolerance)
        {
            self.become_state(EncryptionState::DecryptionFailed, tell);
        }
    }

    fn become_state(&mut self, state: EncryptionState, tell: &mut impl FnMut(EncryptionState)) {
        if self.state != state {
            self.state = state;
            tell(state);
        }
    }
}
