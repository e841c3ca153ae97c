//! Descriptions and candidates of a hostile peer or server, set on a connection without a driver.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    RtcError,
    data_channel::DataChannelInit,
    fuzzing::Input,
    ice_candidate::IceCandidate,
    peer::{
        channel::ChannelCore,
        engine::{self, EngineOutput},
        receive_only,
        state::State,
        stats,
        transceiver::{MediaKind, TransceiverCore},
    },
    peer_connection::SignalingState,
    peer_connection_factory::RtcConfiguration,
    rtp_transceiver::RtpTransceiverInit,
    session_description::{SdpType, SessionDescription},
};

/// Descriptions that one input may bring.
const MAX_ROUNDS: usize = 6;

/// Ends a description within an input.
const END: &[u8] = b"\n==\n";

/// What a peer answers to an offer of one audio section.
const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\na=setup:active\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:secretsecretsecretsecret\r\na=fingerprint:sha-256 AB:CD\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n";

/// A connection whose application asks for nothing.
pub(super) fn connection() -> State {
    let fingerprint = engine::local_fingerprint().expect("a certificate");
    State::new(Weak::new(), RtcConfiguration::default(), fingerprint)
}

fn transceiver(state: &mut State, kind: MediaKind, track_id: Option<&str>) -> Arc<TransceiverCore> {
    transceiver_of(state, kind, receive_only(), track_id)
}

pub(super) fn transceiver_of(
    state: &mut State,
    kind: MediaKind,
    init: RtpTransceiverInit,
    track_id: Option<&str>,
) -> Arc<TransceiverCore> {
    let wake = Arc::new(Notify::new());
    let core = TransceiverCore::new(kind, Weak::new(), None, init, track_id, wake);
    state.transceivers.push(Arc::clone(&core));
    core
}

pub(in crate::peer) fn channel(state: &mut State, label: &str, negotiated: Option<i32>) {
    let init = DataChannelInit {
        negotiated: negotiated.is_some(),
        id: negotiated.unwrap_or(-1),
        ..DataChannelInit::default()
    };
    state.add_channel(&ChannelCore::new(label, init, Weak::new()));
}

/// Offers and answers after each other, each of which may be anything, with the byte before it
/// saying what is done with it.
pub fn sdp(data: &[u8]) {
    let mut state = connection();
    let mut now = Instant::now();
    let mut rest = data;
    for _ in 0..MAX_ROUNDS {
        if rest.is_empty() {
            break;
        }
        let (round, later) = match rest.windows(END.len()).position(|w| w == END) {
            Some(end) => (&rest[..end], &rest[end + END.len()..]),
            None => (rest, &[][..]),
        };
        rest = later;
        let mut input = Input::new(round);
        let what = input.byte();
        let text = String::from_utf8_lossy(input.rest());
        // Refusing is as good as accepting.
        let _ = match what {
            b'a' => as_answer(&mut state, &text),
            b'r' => state.roll_back(state.signaling),
            b'c' => IceCandidate::parse("0", 0, &text)
                .map_err(|error| RtcError::internal(error.to_string()))
                .and_then(|candidate| state.add_remote_candidate(&candidate)),
            _ => as_offer(&mut state, &text, what == b'o'),
        };
        run(&mut state, &mut now);
        assert!(state.transceivers.len() <= 3 + MAX_ROUNDS * 2_000);
    }
    stats::connection(&state);
    let transceivers = state.close(now);
    transceivers
        .iter()
        .for_each(|transceiver| transceiver.end());
    run(&mut state, &mut now);
}

/// A candidate line as trickle brings it, on a connection that is up to take it.
pub fn candidate(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(candidate) = IceCandidate::parse("0", 0, &text) else {
        return;
    };
    let again = IceCandidate::parse("0", 0, &candidate.candidate());
    assert!(again.is_ok(), "{text:?} is not read a second time");
    let mut state = connection();
    transceiver(&mut state, MediaKind::Audio, None);
    let taken = as_answer(&mut state, ANSWER);
    assert!(taken.is_ok(), "{taken:?}");
    for candidate in [candidate, again.expect("read")] {
        let taken = state.add_remote_candidate(&candidate);
        assert!(taken.is_ok(), "{taken:?}");
    }
    run(&mut state, &mut Instant::now());
}

fn as_offer(state: &mut State, text: &str, is_answered: bool) -> Result<(), RtcError> {
    let offer = parse(text, SdpType::Offer)?;
    let make = |state: &mut State, kind, track_id: &str| transceiver(state, kind, Some(track_id));
    state.set_remote_offer(offer, make)?;
    if is_answered {
        let answer = state.create_answer()?;
        state.set_local_answer(answer)?;
    }
    Ok(())
}

fn as_answer(state: &mut State, text: &str) -> Result<(), RtcError> {
    if state.signaling == SignalingState::Stable {
        if state.transceivers.is_empty() {
            transceiver(state, MediaKind::Audio, None);
            transceiver(state, MediaKind::Video, None);
            channel(state, "data", None);
        }
        let offer = state.create_offer(false)?;
        state.set_local_offer(offer)?;
    }
    state.set_remote_answer(parse(text, SdpType::Answer)?)
}

fn parse(text: &str, sdp_type: SdpType) -> Result<SessionDescription, RtcError> {
    let parsed = SessionDescription::parse(text, sdp_type);
    let parsed = parsed.map_err(|error| RtcError::internal(error.to_string()))?;
    parsed.check_readable()?;
    Ok(parsed)
}

/// Lets some time pass, as the driver would.
fn run(state: &mut State, now: &mut Instant) {
    for _ in 0..3 {
        *now += Duration::from_millis(100);
        state.say_goodbye();
        let Some(engine) = &mut state.engine else {
            return;
        };
        engine.tick(*now);
        while let Some(engine) = &mut state.engine {
            match engine.poll() {
                Ok(EngineOutput::Wait(_)) => break,
                Ok(output) => state.on_transport(*now, output),
                Err(_) => state.engine = None,
            }
        }
        state.advance_channels();
        state.dials.clear();
        state.events.clear();
    }
}
