//! Descriptions taking effect. The directions of our own come from the text that is given back
//! to us, since the SDK edits offers between making and setting them.

use std::{sync::Arc, time::Instant};

use super::{
    agreement::AudioAgreement,
    engine::{self, Engine},
    handlers::Event,
    state::{SectionSlot, SectionUse, State},
    transceiver::{MediaKind, Settled, TransceiverCore},
};
use crate::{
    RtcError,
    peer_connection::{SignalingState, TrackEvent},
    rtp_receiver::RtpReceiver,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection as Dir},
    sdp::{self, Fingerprint, IceCredentials, Kind, Section, Session, Setup},
    session_description::SessionDescription,
};

/// Who made the offer of a negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Offerer,
    Answerer,
}

/// The transport side of a remote description.
struct RemoteTransport {
    credentials: IceCredentials,
    fingerprint: Fingerprint,
    setup: Option<Setup>,
    ice_lite: bool,
}

impl State {
    pub(super) fn set_local_offer(&mut self, offer: SessionDescription) -> Result<(), RtcError> {
        self.expect_signaling(&[SignalingState::Stable, SignalingState::HaveLocalOffer])?;
        let session = offer.session();
        self.check_sections_kept(session)?;
        let mut slots = Vec::new();
        for section in &session.sections[self.sections.len()..] {
            let use_ = match section.kind {
                Kind::Data => SectionUse::Data,
                Kind::Audio | Kind::Video => {
                    let taken: Vec<&SectionSlot> = slots.iter().collect();
                    let transceiver = self.find_unassociated(section, &taken).ok_or_else(|| {
                        RtcError::invalid_sdp(format!("nothing is offered as {}", section.mid))
                    })?;
                    SectionUse::Media(transceiver)
                }
                Kind::Other(_) => SectionUse::Unused(section.kind.clone()),
            };
            slots.push(SectionSlot {
                mid: section.mid.clone(),
                use_,
            });
        }
        // Nothing can fail from here on.
        for slot in slots {
            if let SectionUse::Media(transceiver) = &slot.use_ {
                transceiver.set_mid(Some(&slot.mid));
            }
            self.sections.push(slot);
        }
        let is_restart = self.take_written_credentials(session);
        self.pending_local = Some(offer);
        self.set_signaling(SignalingState::HaveLocalOffer);
        self.gather_if(is_restart);
        Ok(())
    }

    pub(super) fn set_remote_answer(&mut self, answer: SessionDescription) -> Result<(), RtcError> {
        self.expect_signaling(&[SignalingState::HaveLocalOffer])?;
        let Some(offer) = self.pending_local.clone() else {
            return Err(RtcError::invalid_state("there is no offer of ours"));
        };
        let (local, remote) = (offer.session(), answer.session());
        let mids = local.sections.iter().zip(&remote.sections);
        if let Some((ours, theirs)) = mids.into_iter().find(|(o, t)| o.mid != t.mid) {
            let (ours, theirs) = (&ours.mid, &theirs.mid);
            return Err(RtcError::invalid_sdp(format!(
                "{theirs} answers section {ours}"
            )));
        }
        if remote.sections.len() > local.sections.len() {
            return Err(RtcError::invalid_sdp(
                "the answer has more sections than the offer",
            ));
        }
        self.negotiate(local, remote, Role::Offerer)?;
        // An older answer, set again to take back the offer, knows nothing of newer sections.
        self.forget_sections_after(remote.sections.len());
        self.conclude(offer, answer);
        Ok(())
    }

    pub(super) fn set_remote_offer(
        &mut self,
        offer: SessionDescription,
        mut make: impl FnMut(&mut Self, MediaKind, &str) -> Arc<TransceiverCore>,
    ) -> Result<(), RtcError> {
        self.expect_signaling(&[SignalingState::Stable, SignalingState::HaveRemoteOffer])?;
        let session = offer.session();
        self.check_sections_kept(session)?;
        self.remote_transport(session)?;
        for section in &session.sections[self.sections.len()..] {
            let kind = match section.kind {
                Kind::Audio => Some(MediaKind::Audio),
                Kind::Video => Some(MediaKind::Video),
                Kind::Data | Kind::Other(_) => None,
            };
            let use_ = match kind {
                Some(kind) if !section.is_refused() => {
                    let free = self.transceivers.iter().find(|transceiver| {
                        transceiver.kind() == kind && transceiver.is_open_to_offers()
                    });
                    let transceiver = match free {
                        Some(free) => Arc::clone(free),
                        None => {
                            let msid = section.media.msid.as_ref();
                            let id = msid.map(|(_, track)| track.as_str()).unwrap_or_default();
                            let random = engine::new_credentials().pwd;
                            make(self, kind, if id.is_empty() { &random } else { id })
                        }
                    };
                    transceiver.set_mid(Some(&section.mid));
                    SectionUse::Media(transceiver)
                }
                None if section.kind == Kind::Data => SectionUse::Data,
                _ => SectionUse::Unused(section.kind.clone()),
            };
            self.sections.push(SectionSlot {
                mid: section.mid.clone(),
                use_,
            });
        }
        self.pending_remote = Some(offer);
        self.set_signaling(SignalingState::HaveRemoteOffer);
        Ok(())
    }

    pub(super) fn set_local_answer(&mut self, answer: SessionDescription) -> Result<(), RtcError> {
        self.expect_signaling(&[SignalingState::HaveRemoteOffer])?;
        let Some(offer) = self.pending_remote.clone() else {
            return Err(RtcError::invalid_state("there is no offer to answer"));
        };
        if answer.session().sections.len() != offer.session().sections.len() {
            return Err(RtcError::invalid_sdp(
                "the answer has not the sections of the offer",
            ));
        }
        let is_restart = self.take_written_credentials(answer.session());
        self.negotiate(answer.session(), offer.session(), Role::Answerer)?;
        self.conclude(answer, offer);
        self.gather_if(is_restart);
        Ok(())
    }

    /// Takes back the offer that made the state `from`.
    pub(super) fn roll_back(&mut self, from: SignalingState) -> Result<(), RtcError> {
        self.expect_signaling(&[from])?;
        // An older answer set again may have left the local description the longer one.
        let length = |description: &Option<SessionDescription>| {
            description
                .as_ref()
                .map_or(0, |description| description.session().sections.len())
        };
        self.forget_sections_after(length(&self.current_local).min(length(&self.current_remote)));
        self.pending_local = None;
        self.pending_remote = None;
        self.next_credentials = None;
        self.set_signaling(SignalingState::Stable);
        Ok(())
    }

    fn expect_signaling(&self, states: &[SignalingState]) -> Result<(), RtcError> {
        if states.contains(&self.signaling) {
            return Ok(());
        }
        let signaling = self.signaling;
        Err(RtcError::invalid_state(format!(
            "the description does not fit {signaling:?}"
        )))
    }

    /// Sections in force keep their place and mid in every later offer.
    fn check_sections_kept(&self, session: &Session) -> Result<(), RtcError> {
        if session.sections.len() < self.sections.len() {
            return Err(RtcError::invalid_sdp("sections are missing"));
        }
        let pairs = self.sections.iter().zip(&session.sections);
        match pairs
            .into_iter()
            .find(|(slot, section)| slot.mid != section.mid)
        {
            None => Ok(()),
            Some((slot, section)) => {
                let (was, is) = (&slot.mid, &section.mid);
                Err(RtcError::invalid_sdp(format!(
                    "section {was} has become {is}"
                )))
            }
        }
    }

    /// The transceiver that a new section of our offer is for: the one it was made for, else the
    /// first of its kind without a section.
    fn find_unassociated(
        &self,
        section: &Section,
        taken: &[&SectionSlot],
    ) -> Option<Arc<TransceiverCore>> {
        let kind = if section.kind == Kind::Audio {
            MediaKind::Audio
        } else {
            MediaKind::Video
        };
        let is_free = |transceiver: &&Arc<TransceiverCore>| {
            let is_taken = taken.iter().any(|slot| match &slot.use_ {
                SectionUse::Media(other) => Arc::ptr_eq(other, transceiver),
                SectionUse::Data | SectionUse::Unused(_) => false,
            });
            !is_taken && transceiver.kind() == kind && transceiver.mid().is_none()
        };
        let proposed = self.proposed.iter().filter(|(mid, _)| *mid == section.mid);
        let proposed = proposed.map(|(_, transceiver)| transceiver).find(is_free);
        proposed
            .or_else(|| self.transceivers.iter().find(is_free))
            .cloned()
    }

    fn forget_sections_after(&mut self, length: usize) {
        if length >= self.sections.len() {
            return;
        }
        for slot in self.sections.drain(length..) {
            if let SectionUse::Media(transceiver) = slot.use_ {
                transceiver.set_mid(None);
            }
        }
    }

    /// Notes new credentials of a description of ours, to be used once both sides have agreed.
    /// Answers whether there are any, which makes it a restart.
    fn take_written_credentials(&mut self, session: &Session) -> bool {
        let written = own_credentials(session);
        self.next_credentials = written.filter(|written| *written != self.credentials);
        self.next_credentials.is_some()
    }

    /// Gathers for the first time, and again with every restart: the candidates of one do not
    /// count for the next.
    fn gather_if(&mut self, is_restart: bool) {
        if is_restart || self.gatherings == 0 {
            self.gather();
        }
    }

    fn conclude(&mut self, local: SessionDescription, remote: SessionDescription) {
        self.current_local = Some(local);
        self.current_remote = Some(remote);
        self.pending_local = None;
        self.pending_remote = None;
        self.proposed.clear();
        self.set_signaling(SignalingState::Stable);
        self.use_waiting_candidates();
    }

    /// Both descriptions are known: the transport begins, begins anew, or goes on, and every
    /// section takes the state agreed on.
    fn negotiate(&mut self, local: &Session, remote: &Session, role: Role) -> Result<(), RtcError> {
        let theirs = self.remote_transport(remote)?;
        let now = Instant::now();
        if self.engine.is_none() {
            self.begin_transport(now, local, remote, &theirs, role)?;
        } else if self.remote_credentials.as_ref() != Some(&theirs.credentials) {
            self.restart_transport(now, &theirs);
        } else {
            // Not a restart after all.
            self.next_credentials = None;
        }
        for section in &remote.sections {
            for line in &section.candidates {
                self.use_remote_candidate(line);
            }
        }
        if let Some(engine) = &mut self.engine
            && local.has_data()
            && remote.has_data()
        {
            engine.start_sctp();
        }
        let pairs = self
            .sections
            .iter()
            .zip(local.sections.iter().zip(&remote.sections));
        let mut begun = Vec::new();
        for (slot, (ours, theirs)) in pairs {
            if let (SectionUse::Media(transceiver), Some(engine)) = (&slot.use_, &mut self.engine)
                && settle(engine, transceiver, &slot.mid, ours, theirs, role)
            {
                begun.push(Arc::clone(transceiver));
            }
        }
        self.events.extend(begun.into_iter().map(track_event));
        self.report_liveness();
        Ok(())
    }

    fn begin_transport(
        &mut self,
        now: Instant,
        local: &Session,
        remote: &Session,
        theirs: &RemoteTransport,
        role: Role,
    ) -> Result<(), RtcError> {
        let dtls_active = match (role, theirs.setup) {
            (_, Some(Setup::Active)) => false,
            (_, Some(Setup::Passive)) => true,
            // An answer has to choose; ours has chosen to be active.
            (Role::Offerer, Some(Setup::ActPass) | None) => true,
            (Role::Answerer, Some(Setup::ActPass) | None) => own_setup(local) != Setup::Passive,
        };
        // What the answer says; before any audio has been negotiated, what we would offer.
        let answer = if role == Role::Offerer { remote } else { local };
        let audio = answer
            .sections
            .iter()
            .find(|section| section.kind == Kind::Audio && !section.is_refused());
        let extensions = match audio {
            Some(audio) => engine::supported_extensions(&audio.media.extensions),
            None => engine::own_extensions(),
        };
        if let Some(next) = self.next_credentials.take() {
            self.credentials = next;
        }
        let mut engine = Engine::new(
            now,
            &engine::Setup {
                local: &self.credentials,
                remote: &theirs.credentials,
                remote_fingerprint: &theirs.fingerprint,
                controlling: role == Role::Offerer || theirs.ice_lite,
                dtls_active,
                extensions: &extensions,
            },
        )?;
        for candidate in &self.local_candidates {
            engine.add_local(candidate);
        }
        self.engine = Some(Box::new(engine));
        self.remote_credentials = Some(theirs.credentials.clone());
        self.liveness.started(now);
        Ok(())
    }

    fn restart_transport(&mut self, now: Instant, theirs: &RemoteTransport) {
        if let Some(next) = self.next_credentials.take() {
            self.credentials = next;
        }
        self.ice_generation += 1;
        self.dials.clear();
        if let Some(engine) = &mut self.engine {
            engine.restart_ice(&self.credentials, &theirs.credentials);
        }
        self.remote_credentials = Some(theirs.credentials.clone());
        self.is_restart_wanted = false;
        self.liveness.started(now);
    }

    /// Reads what is needed to reach the peer, and checks that it is the same peer.
    fn remote_transport(&self, session: &Session) -> Result<RemoteTransport, RtcError> {
        let missing = |what| RtcError::invalid_sdp(format!("the description has no {what}"));
        let section = session
            .sections
            .iter()
            .find(|section| !section.is_refused());
        let section = section.ok_or_else(|| missing("section in use"))?;
        let transport = session.transport_of(section);
        let credentials = transport.ice.ok_or_else(|| missing("ICE credentials"))?;
        let fingerprint = transport
            .fingerprint
            .ok_or_else(|| missing("fingerprint"))?;
        if self
            .engine
            .as_ref()
            .is_some_and(|engine| *engine.remote_fingerprint() != fingerprint)
        {
            return Err(RtcError::invalid_sdp("the peer has another certificate"));
        }
        let (setup, ice_lite) = (transport.setup, session.ice_lite);
        Ok(RemoteTransport {
            credentials,
            fingerprint,
            setup,
            ice_lite,
        })
    }
}

/// Brings a transceiver and the transport to what both sides say of a section. Answers whether a
/// remote track has begun.
fn settle(
    engine: &mut Engine,
    transceiver: &TransceiverCore,
    mid: &str,
    ours: &Section,
    theirs: &Section,
    role: Role,
) -> bool {
    if transceiver.is_stopped() {
        return false;
    }
    let is_used = !ours.is_refused() && !theirs.is_refused();
    let (local, remote) = (ours.media.direction, theirs.media.direction);
    let direction = if is_used {
        sdp::direction(
            sdp::sends(local) && sdp::receives(remote),
            sdp::receives(local) && sdp::sends(remote),
        )
    } else {
        Dir::Inactive
    };
    let answer = if role == Role::Offerer { theirs } else { ours };
    let is_audio = transceiver.kind() == MediaKind::Audio;
    let agreement = AudioAgreement::read(&answer.media.codecs, &theirs.media.codecs)
        .filter(|_| is_audio && is_used);
    if role == Role::Offerer && ours.media.direction != transceiver.direction() {
        // The text was edited, or the direction has changed since; the latter wins next time.
        log::debug!("section {mid} was offered as {local:?}");
    }
    let was_sending = transceiver.current_direction().is_some_and(sdp::sends);
    let change = transceiver.settle(&Settled {
        direction,
        audio: agreement,
        extensions: &answer.media.extensions,
        remote: &theirs.media,
    });
    if !is_audio {
        // Nothing is decoded: what arrives is not even decrypted.
        return change.begun;
    }
    engine.stop_receiving(&change.unexpected);
    if sdp::receives(direction) {
        let asks_again = agreement.is_some_and(|audio| audio.asks_again());
        engine.receive_audio(mid, &change.expected, asks_again);
    }
    if sdp::sends(direction) {
        let answers = agreement.is_some_and(|audio| audio.asks_again());
        engine.send_audio(mid, transceiver.ssrc(), answers);
    } else if was_sending {
        engine.stop_sending(transceiver.ssrc());
    }
    change.begun
}

fn track_event(core: Arc<TransceiverCore>) -> Event {
    Event::Track(Box::new(TrackEvent {
        streams: core.receiver_streams(),
        track: core.receiver_track(),
        receiver: RtpReceiver {
            core: Arc::clone(&core),
        },
        transceiver: RtpTransceiver { core },
    }))
}

fn own_credentials(session: &Session) -> Option<IceCredentials> {
    session
        .sections
        .iter()
        .find_map(|section| section.transport.ice.clone())
}

fn own_setup(session: &Session) -> Setup {
    session
        .sections
        .iter()
        .find_map(|section| section.transport.setup)
        .unwrap_or(Setup::Active)
}
