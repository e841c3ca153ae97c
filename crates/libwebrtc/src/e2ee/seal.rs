//! The sending side of a track.

use super::{Keys, frame};
use crate::native::frame_cryptor::EncryptionState;

/// What became of a frame that was to be encrypted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// It may be sent as it was written.
    Done,
    /// It must not be sent.
    Withheld,
}

/// Encrypts the frames of one track.
pub(crate) struct Sealer {
    /// Makes IVs differ.
    count: u32,
    state: EncryptionState,
}

impl Sealer {
    /// `first` is random.
    pub(crate) fn new(first: u32) -> Self {
        Self {
            count: first,
            state: EncryptionState::New,
        }
    }

    /// Encrypts a frame into `sealed`. `tell` hears of every change of the state.
    pub(crate) fn seal(
        &mut self,
        (keys, participant, key_index): (&Keys, &str, i32),
        (ssrc, timestamp): (u32, u32),
        frame: &[u8],
        sealed: &mut Vec<u8>,
        tell: impl FnOnce(EncryptionState),
    ) -> Sealed {
        let (state, outcome) = match keys.find(participant, key_index) {
            None => (EncryptionState::MissingKey, Sealed::Withheld),
            Some((index, set)) => {
                self.count = self.count.wrapping_add(1);
                let iv = frame::iv(ssrc, timestamp, self.count);
                match frame::seal(&set, index, iv, frame, sealed) {
                    Ok(()) => (EncryptionState::Ok, Sealed::Done),
                    Err(_) => (EncryptionState::EncryptionFailed, Sealed::Withheld),
                }
            }
        };
        self.become_state(state, tell);
        outcome
    }

    /// Withholds a frame, because its cipher is not in this engine.
    pub(crate) fn refuse(&mut self, tell: impl FnOnce(EncryptionState)) -> Sealed {
        self.become_state(EncryptionState::EncryptionFailed, tell);
        Sealed::Withheld
    }

    fn become_state(&mut self, state: EncryptionState, tell: impl FnOnce(EncryptionState)) {
        if self.state != state {
            self.state = state;
            tell(state);
        }
    }
}
