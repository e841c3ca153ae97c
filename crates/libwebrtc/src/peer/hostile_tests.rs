//! What a peer that has the keys can and cannot make of a connection.

use std::collections::HashSet;

use super::{
    engine,
    fuzzing::{
        datagrams::{Link, THEIRS},
        descriptions::channel,
        open_crypto::{TAG, recorded},
    },
    network::{LocalCandidate, Transport},
};
use crate::{
    data_channel::{DataChannelInit, DataChannelState},
    fuzzing::Input,
    peer_connection::PeerConnectionState,
    stats::IceCandidateType,
};

const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

fn link() -> Link {
    let mut link = Link::new(true);
    link.come_up();
    link
}

impl Link {
    fn has_failed(&self) -> bool {
        self.state.engine.is_none() && self.state.liveness.state() == PeerConnectionState::Failed
    }
}

#[test]
fn checks_from_everywhere_are_answered_up_to_a_bound() {
    let mut link = link();
    let mut answered = HashSet::new();
    for port in 0x80..=0xFF {
        // Neither the role nor a nomination is contested.
        let (source, check) = link.stun(&mut Input::new(&[8 | 16, port, 1, 2, 3, 4]));
        link.hear(&source, &check);
        answered.extend(link.from_us.drain(..).map(|(to, _)| to));
    }
    answered.remove(&THEIRS.parse().unwrap());
    assert_eq!(answered.len(), 64, "of 128");
    link.pass(MILLISECOND);
    assert!(link.state.engine.is_some());
}

/// A packet of the section from a source.
fn packet(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x90, 111, 0, 1, 0, 0, 0, 0];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xBE, 0xDE, 0, 1, 0x20, b'0', 0, 0, 72, 1, 2]);
    packet.extend(TAG);
    packet
}

#[test]
fn sources_without_end_end_the_connection() {
    let mut link = link();
    for ssrc in 1_000..2_000 {
        link.hear(THEIRS, &packet(ssrc));
    }
    assert!(link.state.engine.is_some(), "a long call has as many");
    for ssrc in 2_000..20_000 {
        link.hear(THEIRS, &packet(ssrc));
    }
    assert!(link.has_failed());
}

#[test]
fn channels_without_end_are_not_opened() {
    let mut link = link();
    // The peer has the even streams; those from 1,024 on are not there.
    for _ in 0..600 {
        link.peer.open_channel("more", &DataChannelInit::default());
        link.pass(MILLISECOND);
    }
    for _ in 0..10 {
        link.pass(MILLISECOND * 100);
    }
    let count = link.state.channels.len();
    assert!((500..=514).contains(&count), "{count}");
    assert!(link.state.engine.is_some());
}

#[test]
fn data_of_streams_that_are_not_there_is_not_taken() {
    let mut link = link();
    let mut is_acknowledged = |stream| {
        let packet = link.sctp.data(stream, b"x");
        link.from_us.clear();
        link.hear(THEIRS, &packet);
        link.wait(MILLISECOND * 300);
        let sack = |(_, datagram): &(_, Vec<u8>)| {
            recorded(datagram).is_some_and(|packet| packet.get(12) == Some(&3))
        };
        link.from_us.iter().any(sack)
    };
    assert!(is_acknowledged(1_023));
    assert!(!is_acknowledged(1_024));
    assert!(!is_acknowledged(65_535));
}

#[test]
fn a_label_without_end_ends_the_connection() {
    let mut link = link();
    // As long as the peer's own transport can write it.
    let label = "x".repeat(1_100);
    link.peer.open_channel(&label, &DataChannelInit::default());
    for _ in 0..20 {
        link.pass(MILLISECOND * 20);
    }
    assert!(link.has_failed());
}

#[test]
fn a_stream_that_the_peer_has_taken_is_not_taken_twice() {
    let mut link = link();
    // The peer has the even ones: 0, 2, …, without 100, which is negotiated.
    for _ in 0..60 {
        link.peer
            .open_channel("theirs", &DataChannelInit::default());
        link.pass(MILLISECOND);
    }
    let ids = link.state.channels.iter().map(|channel| channel.id());
    assert!(ids.collect::<Vec<_>>().contains(&102));
    channel(&mut link.state, "late", Some(102));
    link.pass(MILLISECOND * 100);
    let late = link.state.channels.last().unwrap();
    assert_eq!(late.state(), DataChannelState::Connecting);
}

#[test]
fn candidates_without_end_are_not_remembered() {
    let mut link = link();
    let engine = link.state.engine.as_mut().unwrap();
    let mut known = 0;
    for restart in 0..100 {
        engine.restart_ice(&engine::new_credentials(), &engine::new_credentials());
        for port in 1..=64 {
            let address = ([10, 0, 1, restart], port).into();
            let theirs = LocalCandidate::host(Transport::Udp, address);
            engine.add_remote_candidate(&engine::candidate_line(&theirs).unwrap());
            known += usize::from(engine.kind_of_remote(address) == IceCandidateType::Host);
        }
    }
    assert!((2_000..2_100).contains(&known), "{known} of 6,400");
    link.pass(MILLISECOND);
}

#[test]
fn candidates_at_any_pace_are_refused_without_a_word_for_each() {
    let mut link = link();
    for port in 1..=500 {
        let theirs = LocalCandidate::host(Transport::Udp, ([10, 0, 1, 1], port).into());
        let line = engine::candidate_line(&theirs).unwrap();
        link.state.use_remote_candidate(&line);
    }
    // The link has its one path as well.
    assert!((430..=437).contains(&link.state.refused_candidates));
}

#[test]
fn sources_that_are_announced_without_end_make_no_streams() {
    let mut link = link();
    for section in 0..100 {
        let first = 100_000 + section * 100;
        let ssrcs: Vec<u32> = (first..first + 100).collect();
        let engine = link.state.engine.as_mut().unwrap();
        engine.receive_audio(&format!("s{section}"), &ssrcs, false);
    }
    let engine = link.state.engine.as_mut().unwrap();
    let all = 100_000..110_000;
    let known = all.clone().filter(|s| engine.section_of(*s).is_some());
    assert!((1_990..=2_000).contains(&known.count()));
    // Those that go make room.
    engine.stop_receiving(&all.collect::<Vec<_>>());
    engine.receive_audio("s1", &[200_000], false);
    assert!(engine.section_of(200_000).is_some());
}

#[test]
fn what_anybody_could_have_sent_is_no_sign_of_life() {
    let mut link = Link::new(false);
    link.come_up();
    assert_eq!(link.state.liveness.state(), PeerConnectionState::Connected);
    let answer = {
        let mut answer = vec![1, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        answer.extend([7; 12]);
        answer
    };
    let (_, check) = link.stun(&mut Input::new(&[8 | 16, 0, 1, 2, 3, 4]));
    let dtls = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1];
    for _ in 0..12 {
        link.wait(MILLISECOND * 500);
        for forged in [&answer, &check, &dtls, &packet(1_000)] {
            link.hear(THEIRS, forged);
        }
    }
    assert_eq!(
        link.state.liveness.state(),
        PeerConnectionState::Disconnected
    );
    link.pass(MILLISECOND * 3_000);
    link.pass(MILLISECOND * 3_000);
    assert_eq!(link.state.liveness.state(), PeerConnectionState::Connected);
}
