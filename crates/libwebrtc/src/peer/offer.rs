//! Descriptions of our own: what is offered and what is answered. Nothing is applied here.

use std::sync::Arc;

use super::{
    capabilities,
    channel::MAX_RECEIVED,
    engine,
    state::{SectionUse, State},
    transceiver::{MediaKind, TransceiverCore},
};
use crate::{
    RtcError,
    peer_connection::SignalingState,
    rtp_transceiver::RtpTransceiverDirection as Dir,
    sdp::{self, Codec, Kind, Media, Section, Session, Setup, Transport},
    session_description::{SdpType, SessionDescription},
};

/// What stands where ICE decides. Source: RFC 8829, section 5.2.1.
const DISCARD_PORT: u16 = 9;

const RTP_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";
const DATA_PROTOCOL: &str = "UDP/DTLS/SCTP";

impl State {
    /// Offers what there is: the sections in force, then new transceivers, then data.
    ///
    /// # Errors
    /// Where an offer of the peer awaits our answer.
    pub(super) fn create_offer(&mut self, restart: bool) -> Result<SessionDescription, RtcError> {
        if !matches!(
            self.signaling,
            SignalingState::Stable | SignalingState::HaveLocalOffer
        ) {
            return Err(RtcError::invalid_state(
                "an offer of the peer awaits an answer",
            ));
        }
        let transport = self.transport(Setup::ActPass, restart || self.is_restart_wanted);
        let mut sections = Vec::new();
        for slot in &self.sections {
            sections.push(match &slot.use_ {
                SectionUse::Media(transceiver) if transceiver.is_stopped() => {
                    refused(&slot.mid, &kind(transceiver))
                }
                SectionUse::Media(transceiver) => {
                    let agreed = self.agreed_codecs(&slot.mid);
                    self.offer_media(&slot.mid, transceiver, &transport, agreed)
                }
                SectionUse::Data => data_section(&slot.mid, &transport),
                SectionUse::Unused(kind) => refused(&slot.mid, kind),
            });
        }
        let mut proposed = Vec::new();
        for transceiver in &self.transceivers {
            if transceiver.mid().is_some() || transceiver.is_stopped() {
                continue;
            }
            let mid = free_mid(&sections);
            sections.push(self.offer_media(&mid, transceiver, &transport, Vec::new()));
            proposed.push((mid, Arc::clone(transceiver)));
        }
        let has_data = self
            .sections
            .iter()
            .any(|slot| matches!(slot.use_, SectionUse::Data));
        if !has_data && !self.channels.is_empty() {
            let mid = free_mid(&sections);
            sections.push(data_section(&mid, &transport));
        }
        self.proposed = proposed;
        Ok(self.describe(sections, SdpType::Offer))
    }

    /// Answers the offer that was set, section by section.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn create_answer(&mut self) -> Result<SessionDescription, RtcError> {
        let offer = match (&self.signaling, &self.pending_remote) {
            (SignalingState::HaveRemoteOffer, Some(offer)) => offer.clone(),
            _ => return Err(RtcError::invalid_state("there is no offer to answer")),
        };
        let offer = offer.session();
        let theirs = offer.sections.iter().find(|section| !section.is_refused());
        let theirs = theirs
            .map(|section| offer.transport_of(section))
            .unwrap_or_default();
        let is_restart = self.remote_credentials.is_some() && theirs.ice != self.remote_credentials;
        // Active unless they insist: it saves the wait for their hello.
        let setup = match theirs.setup {
            Some(Setup::Active) => Setup::Passive,
            Some(Setup::Passive | Setup::ActPass) | None => Setup::Active,
        };
        let transport = self.transport(setup, is_restart);
        let sections = offer
            .sections
            .iter()
            .zip(&self.sections)
            .map(|(theirs, slot)| match &slot.use_ {
                _ if theirs.is_refused() => refused(&theirs.mid, &theirs.kind),
                SectionUse::Media(transceiver) => {
                    self.answer_media(theirs, transceiver, &transport)
                }
                SectionUse::Data => data_section(&theirs.mid, &transport),
                SectionUse::Unused(kind) => refused(&theirs.mid, kind),
            });
        let sections = sections.collect();
        Ok(self.describe(sections, SdpType::Answer))
    }

    fn describe(&mut self, sections: Vec<Section>, sdp_type: SdpType) -> SessionDescription {
        let origin = self.origin;
        self.origin.1 += 1;
        let session = Session {
            origin,
            ice_lite: false,
            transport: Transport::default(),
            sections,
        };
        SessionDescription::from_session(session, sdp_type)
    }

    fn transport(&self, setup: Setup, restart: bool) -> Transport {
        Transport {
            ice: Some(self.credentials_to_write(restart)),
            fingerprint: Some(self.fingerprint.clone()),
            setup: Some(setup),
        }
    }

    /// The header extensions that may be used: those in force, before that all we know.
    fn extensions(&self) -> Vec<(u8, String)> {
        match &self.engine {
            Some(engine) => engine.extensions().to_vec(),
            None => engine::own_extensions(),
        }
    }

    fn offer_media(
        &self,
        mid: &str,
        transceiver: &TransceiverCore,
        transport: &Transport,
        agreed: Vec<Codec>,
    ) -> Section {
        let codecs = match transceiver.kind() {
            _ if !agreed.is_empty() => agreed,
            MediaKind::Audio => capabilities::offer_audio(transceiver.red_preference()),
            MediaKind::Video => capabilities::video(),
        };
        media_section(
            mid,
            transceiver,
            transport,
            transceiver.direction(),
            codecs,
            self.extensions(),
        )
    }

    /// The codecs of a section as our last description in force has them: numbers once used for a
    /// codec stay with it.
    fn agreed_codecs(&self, mid: &str) -> Vec<Codec> {
        let Some(local) = &self.current_local else {
            return Vec::new();
        };
        let section = local
            .session()
            .sections
            .iter()
            .find(|section| section.mid == mid);
        let section = section.filter(|section| !section.is_refused());
        section
            .map(|section| section.media.codecs.clone())
            .unwrap_or_default()
    }

    fn answer_media(
        &self,
        theirs: &Section,
        transceiver: &TransceiverCore,
        transport: &Transport,
    ) -> Section {
        let offered = &theirs.media;
        let codecs = match transceiver.kind() {
            MediaKind::Audio => {
                capabilities::answer_audio(&offered.codecs, transceiver.red_preference())
            }
            MediaKind::Video => capabilities::answer_video(&offered.codecs),
        };
        if codecs.is_empty() || transceiver.is_stopped() {
            return refused(&theirs.mid, &theirs.kind);
        }
        let ours = transceiver.direction();
        let direction = sdp::direction(
            sdp::sends(ours) && sdp::receives(offered.direction),
            sdp::receives(ours) && sdp::sends(offered.direction),
        );
        let mut extensions = engine::supported_extensions(&offered.extensions);
        if let Some(engine) = &self.engine {
            extensions.retain(|extension| engine.extensions().contains(extension));
        }
        media_section(
            &theirs.mid,
            transceiver,
            transport,
            direction,
            codecs,
            extensions,
        )
    }
}

fn media_section(
    mid: &str,
    transceiver: &TransceiverCore,
    transport: &Transport,
    direction: Dir,
    codecs: Vec<Codec>,
    extensions: Vec<(u8, String)>,
) -> Section {
    let msid = if sdp::sends(direction) {
        transceiver.msid()
    } else {
        None
    };
    let is_named = msid.is_some();
    let has_extensions = transceiver.kind() == MediaKind::Audio;
    Section {
        kind: kind(transceiver),
        port: DISCARD_PORT,
        protocol: RTP_PROTOCOL.to_owned(),
        mid: mid.to_owned(),
        transport: transport.clone(),
        candidates: Vec::new(),
        media: Media {
            direction,
            codecs,
            extensions: if has_extensions {
                extensions
            } else {
                Vec::new()
            },
            ssrcs: if is_named {
                vec![transceiver.ssrc()]
            } else {
                Vec::new()
            },
            cname: msid.as_ref().map(|(_, track)| track.clone()),
            msid,
        },
        max_message_size: None,
    }
}

fn data_section(mid: &str, transport: &Transport) -> Section {
    Section {
        kind: Kind::Data,
        port: DISCARD_PORT,
        protocol: DATA_PROTOCOL.to_owned(),
        mid: mid.to_owned(),
        transport: transport.clone(),
        candidates: Vec::new(),
        media: Media::default(),
        max_message_size: Some(MAX_RECEIVED),
    }
}

fn refused(mid: &str, kind: &Kind) -> Section {
    let protocol = if *kind == Kind::Data {
        DATA_PROTOCOL
    } else {
        RTP_PROTOCOL
    };
    Section {
        kind: kind.clone(),
        port: 0,
        protocol: protocol.to_owned(),
        mid: mid.to_owned(),
        transport: Transport::default(),
        candidates: Vec::new(),
        media: Media {
            direction: Dir::Inactive,
            ..Media::default()
        },
        max_message_size: None,
    }
}

fn kind(transceiver: &TransceiverCore) -> Kind {
    match transceiver.kind() {
        MediaKind::Audio => Kind::Audio,
        MediaKind::Video => Kind::Video,
    }
}

/// The section's index, or the next number that no section has.
fn free_mid(sections: &[Section]) -> String {
    let is_free = |mid: &String| sections.iter().all(|section| section.mid != *mid);
    let mut mids = (sections.len()..).map(|number| number.to_string());
    // There are fewer sections than numbers.
    mids.find(is_free).unwrap_or_default()
}
