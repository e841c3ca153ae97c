//! SCTP and its channels.

use str0m::channel::{ChannelConfig, ChannelId, Reliability};

use super::Engine;
use crate::{RtcError, data_channel::DataChannelInit};

impl Engine {
    /// Starts SCTP; doing so again changes nothing.
    pub(in crate::peer) fn start_sctp(&mut self) {
        let client = self.dtls_active;
        self.rtc.direct_api().start_sctp(client);
    }

    pub(in crate::peer) fn open_channel(
        &mut self,
        label: &str,
        init: &DataChannelInit,
    ) -> ChannelId {
        let limit = |value: i32| u16::try_from(value.max(0)).unwrap_or(u16::MAX);
        let reliability = match (init.max_retransmits, init.max_retransmit_time) {
            (Some(retransmits), _) => Reliability::MaxRetransmits {
                retransmits: limit(retransmits),
            },
            (None, Some(ms)) => Reliability::MaxPacketLifetime {
                lifetime: limit(ms),
            },
            (None, None) => Reliability::Reliable,
        };
        self.rtc.direct_api().create_data_channel(ChannelConfig {
            label: label.to_owned(),
            ordered: init.ordered,
            reliability,
            negotiated: if init.negotiated {
                u16::try_from(init.id).ok()
            } else {
                None
            },
            protocol: init.protocol.clone(),
        })
    }

    /// Whether a channel has a stream already. str0m panics where another is to have it.
    pub(in crate::peer) fn is_stream_taken(&mut self, stream_id: i32) -> bool {
        let api = self.rtc.direct_api();
        let holder = |id| api.channel_id_by_sctp_stream_id(id);
        u16::try_from(stream_id).ok().and_then(holder).is_some()
    }

    pub(in crate::peer) fn close_channel(&mut self, id: ChannelId) {
        self.rtc.direct_api().close_data_channel(id);
    }

    /// The stream id of a channel, once it has one.
    pub(in crate::peer) fn stream_id(&mut self, id: ChannelId) -> Option<u16> {
        self.rtc.direct_api().sctp_stream_id_by_channel_id(id)
    }

    /// Hands a message to SCTP. `Ok(false)`: there is no room now.
    pub(in crate::peer) fn write(
        &mut self,
        id: ChannelId,
        binary: bool,
        data: &[u8],
    ) -> Result<bool, RtcError> {
        let Some(mut channel) = self.rtc.channel(id) else {
            return Ok(false);
        };
        channel
            .write(binary, data)
            .map_err(|error| RtcError::internal(format!("SCTP refuses a message: {error}")))
    }

    /// Bytes of a channel that SCTP holds.
    pub(in crate::peer) fn buffered(&mut self, id: ChannelId) -> usize {
        self.rtc
            .channel(id)
            .map_or(0, |mut channel| channel.buffered_amount())
    }
}
