//! Offers, answers, and what is done when they go wrong.

use libwebrtc::{
    MediaType, RtcErrorType,
    data_channel::DataChannelState,
    ice_candidate::IceCandidate,
    peer_connection::{AnswerOptions, OfferOptions, PeerConnectionState, SignalingState},
    rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit},
    session_description::{SdpType, SessionDescription},
};

use crate::pair::{Peer, Reports, connected, negotiate};

fn receive_only() -> RtpTransceiverInit {
    RtpTransceiverInit {
        direction: RtpTransceiverDirection::RecvOnly,
        stream_ids: vec![],
        send_encodings: vec![],
    }
}

fn ufrag(description: &SessionDescription) -> String {
    let text = description.to_string();
    text.lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap()
        .to_owned()
}

fn mids(description: &SessionDescription) -> Vec<String> {
    let text = description.to_string();
    text.lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_keep_their_place_and_new_ones_follow() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    for kind in [MediaType::Audio, MediaType::Video] {
        alice
            .connection
            .add_transceiver_for_media(kind, receive_only())
            .unwrap();
    }
    alice.channel("data", 100, false);
    let offer = alice
        .connection
        .create_offer(OfferOptions::default())
        .await
        .unwrap();
    assert_eq!(mids(&offer), ["0", "1", "2"]);
    assert!(
        alice
            .connection
            .transceivers()
            .iter()
            .all(|t| t.mid().is_none()),
        "not set yet"
    );

    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let associated: Vec<_> = alice
        .connection
        .transceivers()
        .iter()
        .filter_map(|t| t.mid())
        .collect();
    assert_eq!(associated, ["0", "1"]);
    let late = alice
        .connection
        .add_transceiver_for_media(MediaType::Audio, receive_only())
        .unwrap();
    negotiate(&mut alice, &mut bob, false).await;
    assert_eq!(late.mid().as_deref(), Some("3"));
    assert_eq!(alice.connection.signaling_state(), SignalingState::Stable);
    assert!(alice.states.drain().is_empty(), "the connection went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_can_be_made_before_and_set_after_more_was_added() {
    let (mut alice, bob) = (Peer::new(), Peer::new());
    let first = alice
        .connection
        .add_transceiver_for_media(MediaType::Audio, receive_only())
        .unwrap();
    alice.channel("data", 100, false);
    let offer = alice
        .connection
        .create_offer(OfferOptions::default())
        .await
        .unwrap();
    let second = alice
        .connection
        .add_transceiver_for_media(MediaType::Audio, receive_only())
        .unwrap();
    let answer = bob.answer(offer.clone()).await;
    alice.connection.set_local_description(offer).await.unwrap();
    alice
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    assert_eq!((first.mid().as_deref(), second.mid()), (Some("0"), None));
    assert!(!alice.candidates.next().await.candidate().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direction_comes_from_the_text_that_is_set() {
    let (alice, bob) = (Peer::new(), Peer::new());
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::Inactive,
        ..receive_only()
    };
    let transceiver = alice
        .connection
        .add_transceiver_for_media(MediaType::Audio, init)
        .unwrap();
    let offer = alice
        .connection
        .create_offer(OfferOptions::default())
        .await
        .unwrap();
    let edited = offer.to_string().replace("a=inactive", "a=recvonly");
    let edited = SessionDescription::parse(&edited, SdpType::Offer).unwrap();
    alice
        .connection
        .set_local_description(edited.clone())
        .await
        .unwrap();
    bob.connection
        .add_transceiver_for_media(
            MediaType::Audio,
            RtpTransceiverInit {
                direction: RtpTransceiverDirection::SendRecv,
                ..receive_only()
            },
        )
        .unwrap();
    let answer = bob.answer(edited).await.to_string();
    let answer = answer
        .replace("a=recvonly", "a=sendonly")
        .replace("a=inactive", "a=sendonly");
    let answer = SessionDescription::parse(&answer, SdpType::Answer).unwrap();
    alice
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    assert_eq!(
        transceiver.current_direction(),
        Some(RtpTransceiverDirection::RecvOnly)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_the_credentials_and_data_goes_on() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let at_alice = alice.channel("data", 100, false);
    let at_bob = bob.channel("data", 100, false);
    let (sender, mut received) = Reports::new("message");
    at_bob.on_message(Some(Box::new(move |message| {
        let _ = sender.send(message.data.to_vec());
    })));
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let before = ufrag(&alice.connection.current_local_description().unwrap());
    negotiate(&mut alice, &mut bob, true).await;
    let after = ufrag(&alice.connection.current_local_description().unwrap());
    assert_ne!(before, after);
    while at_alice.state() != DataChannelState::Open {
        tokio::task::yield_now().await;
    }
    for number in 0..100_u8 {
        at_alice.send(&[number], true).unwrap();
        assert_eq!(received.next().await, [number]);
    }
    assert_eq!(
        alice.connection.connection_state(),
        PeerConnectionState::Connected
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_answer_takes_back_an_offer() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    alice.channel("data", 100, false);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let late = alice
        .connection
        .add_transceiver_for_media(MediaType::Audio, receive_only())
        .unwrap();
    alice.offer(false).await;
    assert_eq!(
        alice.connection.signaling_state(),
        SignalingState::HaveLocalOffer
    );
    assert_eq!(late.mid().as_deref(), Some("1"));

    let old = alice.connection.current_remote_description().unwrap();
    alice.connection.set_remote_description(old).await.unwrap();
    assert_eq!(alice.connection.signaling_state(), SignalingState::Stable);
    assert_eq!(late.mid(), None);

    negotiate(&mut alice, &mut bob, true).await;
    assert_eq!(late.mid().as_deref(), Some("1"));
    assert_eq!(bob.connection.transceivers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_takes_back_an_offer_of_either_side() {
    let (mut alice, bob) = (Peer::new(), Peer::new());
    alice.channel("data", 100, false);
    let offer = alice.offer(false).await;
    bob.connection.set_remote_description(offer).await.unwrap();
    let rollback = || SessionDescription::parse("", SdpType::Rollback).unwrap();
    alice
        .connection
        .set_local_description(rollback())
        .await
        .unwrap();
    bob.connection
        .set_remote_description(rollback())
        .await
        .unwrap();
    for peer in [&alice, &bob] {
        assert_eq!(peer.connection.signaling_state(), SignalingState::Stable);
    }
    let mut bob = bob;
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    alice.channel("data", 100, false);
    for sdp_type in [SdpType::Offer, SdpType::Answer] {
        let garbage = || SessionDescription::parse("garbage", sdp_type).unwrap();
        let connection = &alice.connection;
        let local = connection.set_local_description(garbage()).await;
        let remote = connection.set_remote_description(garbage()).await;
        for error in [local.unwrap_err(), remote.unwrap_err()] {
            assert_eq!(error.error_type, RtcErrorType::InvalidSdp);
        }
    }
    assert!(IceCandidate::parse("0", 0, "garbage").is_err());

    let error = alice
        .connection
        .create_answer(AnswerOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.error_type, RtcErrorType::InvalidState);
    let candidate = IceCandidate::parse("0", 0, "candidate:1 1 udp 1 127.0.0.1 9 typ host");
    assert!(
        alice
            .connection
            .add_ice_candidate(candidate.unwrap())
            .await
            .is_err(),
        "too early"
    );

    let offer = alice.offer(false).await;
    let error = alice
        .connection
        .set_remote_description(offer.clone())
        .await
        .unwrap_err();
    assert_eq!(
        error.error_type,
        RtcErrorType::InvalidState,
        "an offer on top of an offer"
    );
    for missing in ["a=fingerprint", "a=ice-ufrag"] {
        let text = bob_answer_without(&offer, missing).await;
        let answer = SessionDescription::parse(&text, SdpType::Answer).unwrap();
        let error = alice
            .connection
            .set_remote_description(answer)
            .await
            .unwrap_err();
        assert_eq!(
            error.error_type,
            RtcErrorType::InvalidSdp,
            "without {missing}"
        );
    }
    let answer = bob.answer(offer).await;
    alice
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    let candidates = [alice.candidates.next().await, bob.candidates.next().await];
    let [from_alice, from_bob] = candidates;
    alice.connection.add_ice_candidate(from_bob).await.unwrap();
    bob.connection.add_ice_candidate(from_alice).await.unwrap();
}

/// An answer of some peer with a line left out.
async fn bob_answer_without(offer: &SessionDescription, prefix: &str) -> String {
    let answer = Peer::new().answer(offer.clone()).await.to_string();
    let kept = answer.lines().filter(|line| !line.starts_with(prefix));
    kept.map(|line| format!("{line}\r\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_not_accepted() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    alice.channel("data", 100, false);
    let offer = alice.offer(false).await;
    let answer = bob.answer(offer).await.to_string();
    let (head, tail) = answer.split_once("a=fingerprint:sha-256 ").unwrap();
    let forged = format!("{head}a=fingerprint:sha-256 00:11{}", &tail[5..]);
    let forged = SessionDescription::parse(&forged, SdpType::Answer).unwrap();
    alice
        .connection
        .set_remote_description(forged)
        .await
        .unwrap();
    for candidate in [bob.candidates.next().await, bob.candidates.next().await] {
        alice.connection.add_ice_candidate(candidate).await.unwrap();
    }
    alice
        .states
        .until(|state| *state == PeerConnectionState::Failed)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_is_immediate_here_and_noticed_there() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    alice.channel("data", 100, false);
    let at_bob = bob.channel("data", 100, false);
    let (sender, mut states) = Reports::new("channel state");
    at_bob.on_state_change(Some(Box::new(move |state| {
        let _ = sender.send(state);
    })));
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    states.until(|state| *state == DataChannelState::Open).await;
    alice.connection.close();
    assert_eq!(
        alice.connection.connection_state(),
        PeerConnectionState::Closed
    );
    assert_eq!(alice.connection.signaling_state(), SignalingState::Closed);
    assert!(alice.connection.transceivers().is_empty());
    assert!(
        alice
            .connection
            .create_offer(OfferOptions::default())
            .await
            .is_err()
    );
    bob.states
        .until(|state| *state == PeerConnectionState::Disconnected)
        .await;
    states
        .until(|state| *state == DataChannelState::Closed)
        .await;
    assert!(
        alice.states.drain().is_empty(),
        "nothing is called back about one's own closing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_closes() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    alice.channel("data", 100, false);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    drop(alice);
    bob.states
        .until(|state| *state == PeerConnectionState::Disconnected)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_may_replace_itself_and_call_back_in() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (sender, mut second) = Reports::new("candidate of the second callback");
    let connection = alice.connection.clone();
    alice.connection.on_ice_candidate(Some(Box::new(move |_| {
        assert_eq!(connection.transceivers().len(), 0);
        let sender = sender.clone();
        connection.on_ice_candidate(Some(Box::new(move |candidate| {
            let _ = sender.send(candidate);
        })));
    })));
    alice.channel("data", 100, false);
    let offer = alice.offer(false).await;
    bob.answer(offer).await;
    assert!(second.next().await.candidate().contains("typ host"));
    alice.candidates.drain();
    bob.candidates.drain();
    alice.connection.on_ice_candidate(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn transceivers_without_end_are_refused_and_told_of_once() {
    let alice = Peer::new();
    let receive = RtpTransceiverInit {
        direction: RtpTransceiverDirection::RecvOnly,
        stream_ids: Vec::new(),
        send_encodings: Vec::new(),
    };
    // While the first is told of, the driver has no time to tell of any other.
    let (sender, mut needed) = Reports::new("need of negotiation");
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    alice
        .connection
        .on_negotiation_needed(Some(Box::new(move |number| {
            let _ = sender.send(number);
            let _ = may_go_on.lock().unwrap().recv();
        })));
    let add = || {
        let connection = &alice.connection;
        connection.add_transceiver_for_media(MediaType::Audio, receive.clone())
    };
    add().unwrap();
    assert_eq!(needed.next().await, 1);
    let added = 1 + (0..3_000).map_while(|_| add().ok()).count();
    assert_eq!(added, 500);
    assert_eq!(add().unwrap_err().error_type, RtcErrorType::InvalidState);
    drop(go_on);
    assert_eq!(needed.next().await, 500, "the last of them, at once");
    alice.connection.close();
    assert_eq!(needed.drain(), []);
}
