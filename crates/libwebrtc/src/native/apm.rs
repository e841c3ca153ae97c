//! Processing of captured audio (echo, noise, gain): not in this engine.

use crate::RtcError;

/// Would process captured audio; answers errors, and leaves the audio as it is.
#[derive(Debug)]
pub struct AudioProcessingModule {
    /// Names of what was asked for.
    wanted: Vec<&'static str>,
}

impl AudioProcessingModule {
    /// Remembers what is asked for.
    pub fn new(
        echo_canceller_enabled: bool,
        gain_controller_enabled: bool,
        high_pass_filter_enabled: bool,
        noise_suppression_enabled: bool,
    ) -> Self {
        let filters = [
            (echo_canceller_enabled, "echo cancellation"),
            (gain_controller_enabled, "gain control"),
            (high_pass_filter_enabled, "high-pass filter"),
            (noise_suppression_enabled, "noise suppression"),
        ];
        let wanted = filters
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, name)| name);
        Self {
            wanted: wanted.collect(),
        }
    }

    /// Would process captured audio.
    ///
    /// # Errors
    /// Where anything was asked for: it is not in this engine.
    pub fn process_stream(
        &mut self,
        _data: &mut [i16],
        _sample_rate: i32,
        _num_channels: i32,
    ) -> Result<(), RtcError> {
        self.refuse()
    }

    /// Would learn what is played.
    ///
    /// # Errors
    /// Where anything was asked for: it is not in this engine.
    pub fn process_reverse_stream(
        &mut self,
        _data: &mut [i16],
        _sample_rate: i32,
        _num_channels: i32,
    ) -> Result<(), RtcError> {
        self.refuse()
    }

    /// Would learn the delay between playing and capturing.
    ///
    /// # Errors
    /// Where anything was asked for: it is not in this engine.
    pub fn set_stream_delay_ms(&mut self, _delay_ms: i32) -> Result<(), RtcError> {
        self.refuse()
    }

    /// Nothing that was not asked for is missed.
    fn refuse(&self) -> Result<(), RtcError> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        Err(RtcError::internal(format!(
            "not in this engine: {}",
            self.wanted.join(", ")
        )))
    }
}
