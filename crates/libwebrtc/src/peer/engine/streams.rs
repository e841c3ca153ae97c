//! RTP streams: which are expected in a section, what is sent in one, what is asked for again.

use std::time::{Duration, Instant};

use str0m::{
    media::{MediaKind, Mid},
    rtp::{ExtensionValues, RtpWrite, Ssrc},
};

use super::{Engine, EngineOutput};
use crate::{
    RtcError,
    audio::EncodedFrame,
    peer::{
        reports::Report,
        retransmission::{SentPackets, SentStats, rtp_header},
    },
};

/// With a longer way there and back, what is asked for comes too late to be played: people talk
/// over each other where packets are held for so long.
const MAX_ROUND_TRIP_TO_ASK: Duration = Duration::from_millis(150);

/// Sources whose packets are taken in the life of a connection. str0m remembers some 100 bytes of
/// each; a room in which somebody speaks up every ten seconds has so many in a day and a half.
const MAX_SOURCES_EVER: usize = 16_384;

/// Sources that descriptions may announce at a time, over all sections: one for each section that
/// there can be, where people have one or two. str0m makes a stream of some 1 kB for each. What is
/// sent by others is still found by the section that their packets name.
const MAX_ANNOUNCED: usize = 2_000;

/// What is written before an Opus packet.
pub(in crate::peer) struct RtpOut {
    pub(in crate::peer) ssrc: u32,
    pub(in crate::peer) payload_type: u8,
    pub(in crate::peer) sequence: u64,
    pub(in crate::peer) timestamp: u32,
    /// Whether the peer may ask for it again.
    pub(in crate::peer) is_repeatable: bool,
}

impl Engine {
    /// Expects audio in a section, from these sources or, where none is named, from any that
    /// carries the section's mid. Asks for what was lost, if that was agreed on and pays.
    pub(in crate::peer) fn receive_audio(&mut self, mid: &str, ssrcs: &[u32], asks_again: bool) {
        let mid = self.declare_audio(mid);
        let has_changed = if asks_again {
            self.asking.insert(mid)
        } else {
            self.asking.remove(&mid)
        };
        let pays = asks_again && !self.is_far_away;
        let room = MAX_ANNOUNCED.saturating_sub(self.mids.len());
        if ssrcs.len() > room {
            log::debug!("section {mid}: {} sources are too many", ssrcs.len() - room);
        }
        for ssrc in ssrcs.iter().take(room) {
            let mut api = self.rtc.direct_api();
            let stream = api.expect_stream_rx((*ssrc).into(), None, mid, None);
            stream.suppress_nack(!pays);
            self.mids.insert(*ssrc, mid);
        }
        if has_changed {
            self.ask_where_it_pays(|section| section == mid);
        }
    }

    fn ask_where_it_pays(&mut self, is_meant: impl Fn(Mid) -> bool) {
        for (ssrc, mid) in self.mids.iter().filter(|(_, mid)| is_meant(**mid)) {
            let pays = self.asking.contains(mid) && !self.is_far_away;
            if let Some(stream) = self.rtc.direct_api().stream_rx(&Ssrc::from(*ssrc)) {
                stream.suppress_nack(!pays);
            }
        }
    }

    /// No longer expects these sources.
    pub(in crate::peer) fn stop_receiving(&mut self, ssrcs: &[u32]) {
        for ssrc in ssrcs {
            self.rtc.direct_api().remove_stream_rx((*ssrc).into());
            self.mids.remove(ssrc);
        }
    }

    /// Makes room for what we send in a section, and for sending it again where the peer may ask.
    pub(in crate::peer) fn send_audio(&mut self, mid: &str, ssrc: u32, repeats: bool) {
        let mid = self.declare_audio(mid);
        let known = self.sent.iter_mut().find(|sent| sent.ssrc == ssrc);
        if known
            .as_ref()
            .is_some_and(|sent| sent.alias.is_some() == repeats)
        {
            return;
        }
        let alias = repeats.then(|| rand::random_range(1..=u32::MAX));
        let mut api = self.rtc.direct_api();
        match known {
            Some(sent) => {
                // str0m takes notice of the alias only in a new stream.
                sent.alias = alias;
                api.remove_stream_tx(ssrc.into());
            }
            None => self.sent.push(SentPackets::new(ssrc, alias)),
        }
        api.declare_stream_tx(ssrc.into(), alias.map(Ssrc::from), mid, None);
    }

    pub(in crate::peer) fn stop_sending(&mut self, ssrc: u32) {
        self.sent.retain(|sent| sent.ssrc != ssrc);
        self.rtc.direct_api().remove_stream_tx(ssrc.into());
    }

    /// What became of a stream's packets on their way out.
    pub(in crate::peer) fn sent(&self, ssrc: u32) -> SentStats {
        let sent = self.sent.iter().find(|sent| sent.ssrc == ssrc);
        sent.map(|sent| sent.stats).unwrap_or_default()
    }

    /// What leaves in place of a datagram of str0m's; `None` where nothing does.
    pub(super) fn on_its_way(&mut self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let Some(header) = rtp_header(&datagram) else {
            return Some(datagram);
        };
        for sent in &mut self.sent {
            if sent.ssrc == header.ssrc {
                sent.sent(&header, &datagram);
            } else if sent.alias == Some(header.ssrc) {
                return sent.repeated(&header);
            }
        }
        Some(datagram)
    }

    fn declare_audio(&mut self, mid: &str) -> Mid {
        let mid = Mid::from(mid);
        if self.rtc.media(mid).is_none() {
            self.rtc.direct_api().declare_media(mid, MediaKind::Audio);
        }
        mid
    }

    /// The section that a source belongs to, by what descriptions or its packets say. As str0m
    /// writes it: compare with [`Self::same_section`].
    pub(in crate::peer) fn section_of(&mut self, ssrc: u32) -> Option<Mid> {
        if let Some(mid) = self.mids.get(&ssrc) {
            return Some(*mid);
        }
        // Not kept: a peer may change its source with every packet.
        let mut api = self.rtc.direct_api();
        let stream = api.stream_rx(&Ssrc::from(ssrc))?;
        let mid = stream.mid();
        stream.suppress_nack(!self.asking.contains(&mid) || self.is_far_away);
        Some(mid)
    }

    /// Whether `mid` of a description is the section found by [`Self::section_of`].
    pub(in crate::peer) fn same_section(found: &Mid, mid: &str) -> bool {
        *found == Mid::from(mid)
    }

    /// Queues a packet; it leaves with the next timeout.
    pub(in crate::peer) fn write_rtp(
        &mut self,
        now: Instant,
        header: &RtpOut,
        frame: &EncodedFrame<'_>,
    ) {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&header.ssrc.into()) else {
            return;
        };
        // RFC 6464 counts down from 0, str0m up to it.
        let level = -i8::try_from(frame.audio_level_dbov).unwrap_or(i8::MAX);
        let extensions = ExtensionValues {
            audio_level: Some(level),
            voice_activity: Some(frame.voice_activity),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(
                header.payload_type.into(),
                header.sequence.into(),
                header.timestamp,
                now,
                frame.payload,
            )
            .marker(frame.marker)
            .nackable(header.is_repeatable)
            .ext_vals(extensions),
        );
    }

    pub(super) fn heed_distance(&mut self, output: &EngineOutput) {
        let EngineOutput::Report {
            report: Report::Path(path),
            ..
        } = output
        else {
            return;
        };
        let is_far_away = path
            .round_trip
            .is_some_and(|round_trip| round_trip > MAX_ROUND_TRIP_TO_ASK);
        if is_far_away != self.is_far_away {
            self.is_far_away = is_far_away;
            self.ask_where_it_pays(|_| true);
        }
    }

    pub(super) fn heed_source(&mut self, output: &EngineOutput) -> Result<(), RtcError> {
        let EngineOutput::Rtp(packet) = output else {
            return Ok(());
        };
        if self.sources_ever.insert(packet.ssrc) && self.sources_ever.len() > MAX_SOURCES_EVER {
            return Err(RtcError::internal("the peer has too many sources"));
        }
        Ok(())
    }
}
