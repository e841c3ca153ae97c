//! What the transport reports, taken into the state of the connection.

use std::{sync::Arc, time::Instant};

use super::{
    channel::{self, ChannelCore, MAX_CHANNELS, MAX_LABEL},
    engine::{ChannelId, Engine, EngineOutput, Mid, RtpIn},
    handlers::Event,
    reports::{Path, Report},
    state::{SectionUse, State},
    transceiver::TransceiverCore,
};
use crate::{audio::RtpInfo, data_channel::DataChannel};

impl State {
    pub(super) fn on_transport(&mut self, now: Instant, output: EngineOutput) {
        if output.is_from_peer() {
            self.liveness.heard(now);
        }
        match output {
            // The driver's business.
            EngineOutput::Wait(_) | EngineOutput::Packet(_) => {}
            EngineOutput::Secured => {
                self.liveness.secured(now);
                self.report_liveness();
            }
            EngineOutput::Ice(ice) => {
                self.liveness.ice(now, ice);
                self.report_liveness();
            }
            EngineOutput::Rtp(packet) => self.on_packet(now, &packet),
            EngineOutput::Report { section, report } => {
                self.on_report(now, section.as_ref(), report);
            }
            EngineOutput::ChannelOpen { id, label } => self.on_channel_open(now, id, &label),
            EngineOutput::ChannelData { id, data, binary } => {
                if let Some(channel) = self.channel(id) {
                    channel.received(data.len());
                    self.events.push_back(Event::ChannelMessage {
                        channel,
                        data,
                        binary,
                    });
                }
            }
            EngineOutput::ChannelClosed(id) => {
                if let Some(channel) = self.channel(id) {
                    channel.closed(&mut self.events);
                    self.closed_channels += 1;
                }
            }
            EngineOutput::Closed => {
                self.liveness.closed_by_peer(now);
                self.report_liveness();
                for channel in &self.channels {
                    channel.closed(&mut self.events);
                }
            }
        }
    }

    /// Moves the channels on. Answers whether the transport may have something to send for it.
    pub(super) fn advance_channels(&mut self) -> bool {
        let has_data = self
            .sections
            .iter()
            .any(|slot| matches!(slot.use_, SectionUse::Data));
        let engine = self.engine.as_deref_mut().filter(|_| has_data);
        let is_moved = engine.is_some() && !self.channels.is_empty();
        channel::advance_all(&mut self.channels, engine, &mut self.events);
        is_moved
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<ChannelCore>> {
        self.channels.iter().find(|channel| channel.is(id)).cloned()
    }

    fn on_channel_open(&mut self, now: Instant, id: ChannelId, label: &str) {
        self.opened_channels += 1;
        let stream_id = self.engine.as_mut().and_then(|engine| engine.stream_id(id));
        if let Some(channel) = self.channel(id) {
            channel.opened(stream_id, &mut self.events);
            return;
        }
        if self.channels.len() >= MAX_CHANNELS || label.len() > MAX_LABEL {
            // Refusing single ones is no way out: the transport keeps what the peer does not
            // agree to close.
            log::error!("the peer opens channels without end; the connection fails");
            self.liveness.broken(now);
            self.report_liveness();
            self.engine = None;
            return;
        }
        let peer = self.peer.clone();
        let core = ChannelCore::opened_by_peer(label, id, peer);
        core.set_stream_id(stream_id);
        self.channels.push(Arc::clone(&core));
        self.events.push_back(Event::Channel(DataChannel { core }));
    }

    fn on_packet(&mut self, now: Instant, packet: &RtpIn) {
        if packet.payload.is_empty() {
            return;
        }
        let Some(transceiver) = self.transceiver_of(packet.ssrc) else {
            return;
        };
        if let Some((track, packing)) = transceiver.receiving(packet.payload_type) {
            let info = RtpInfo {
                ssrc: packet.ssrc,
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                header_bytes: packet.header_bytes,
                packing,
            };
            track.count_rtp(now, &info, packet.payload.len());
            let encryption = &transceiver.encryption;
            encryption.open(&packet.payload, &mut self.events, |payload| {
                track.push_rtp(now, &info, payload);
            });
        }
    }

    fn on_report(&mut self, now: Instant, section: Option<&Mid>, report: Report) {
        if let Report::Path(path) = report {
            let is_same = |old: &Path| (old.local, old.remote) == (path.local, path.remote);
            self.path_changes += u32::from(!self.path.as_ref().is_some_and(is_same));
            self.path = Some(path);
            return;
        }
        let Some(section) = section else { return };
        let transceiver = self
            .sections
            .iter()
            .find(|slot| Engine::same_section(section, &slot.mid));
        if let Some(SectionUse::Media(transceiver)) = transceiver.map(|slot| &slot.use_) {
            transceiver.note_report(now, &report);
        }
    }

    /// The transceiver that a source is received with: by what descriptions say of the source,
    /// else by the section that its packets name.
    fn transceiver_of(&mut self, ssrc: u32) -> Option<Arc<TransceiverCore>> {
        if let Some(named) = self.transceivers.iter().find(|t| t.expects(ssrc)) {
            return Some(Arc::clone(named));
        }
        let section = self.engine.as_mut()?.section_of(ssrc)?;
        let slot = self
            .sections
            .iter()
            .find(|slot| Engine::same_section(&section, &slot.mid))?;
        match &slot.use_ {
            SectionUse::Media(transceiver) => Some(Arc::clone(transceiver)),
            SectionUse::Data | SectionUse::Unused(_) => None,
        }
    }
}
