//! Opus packets into PCM.

use opusic_c::{Decoder, ErrorCode};

use super::format::Format;

/// The longest packet there is, in milliseconds. Source: RFC 6716, section 3.2.5.
const MAX_PACKET_MS: usize = 120;

/// Decodes one stream at the rate and layout its reader wants.
pub(crate) struct AudioDecoder {
    inner: Decoder,
    format: Format,
    /// libopus' binding gives 16-bit samples as `u16`, bit for bit.
    scratch: Vec<u16>,
}

impl AudioDecoder {
    pub(crate) fn new(format: Format) -> Result<Self, ErrorCode> {
        let inner = Decoder::new(format.layout.opus(), format.rate.opus())?;
        Ok(Self {
            inner,
            format,
            scratch: Vec::new(),
        })
    }

    /// Appends the sound of `packet`.
    pub(crate) fn decode(&mut self, packet: &[u8], pcm: &mut Vec<i16>) -> Result<(), ErrorCode> {
        self.scratch.resize(self.format.samples(MAX_PACKET_MS), 0);
        let count = self
            .inner
            .decode_to_slice(packet, &mut self.scratch, false)?;
        self.append(count, pcm);
        Ok(())
    }

    /// Appends `ticks` of lost sound, from the coarse copy in `successor` where it has one.
    pub(crate) fn recover(
        &mut self,
        successor: &[u8],
        ticks: u32,
        pcm: &mut Vec<i16>,
    ) -> Result<(), ErrorCode> {
        self.fill(ticks);
        let count = self
            .inner
            .decode_to_slice(successor, &mut self.scratch, true)?;
        self.append(count, pcm);
        Ok(())
    }

    /// Appends `ticks` of what could have been.
    pub(crate) fn conceal(&mut self, ticks: u32, pcm: &mut Vec<i16>) -> Result<(), ErrorCode> {
        self.fill(ticks);
        let count = self.inner.decode_to_slice(&[], &mut self.scratch, false)?;
        self.append(count, pcm);
        Ok(())
    }

    fn fill(&mut self, ticks: u32) {
        let samples = self
            .format
            .samples_in_ticks(ticks)
            .min(self.format.samples(MAX_PACKET_MS));
        self.scratch.resize(samples, 0);
    }

    fn append(&self, per_channel: usize, pcm: &mut Vec<i16>) {
        let samples = per_channel * self.format.channels();
        pcm.extend(
            self.scratch[..samples]
                .iter()
                .map(|sample| sample.cast_signed()),
        );
    }
}
