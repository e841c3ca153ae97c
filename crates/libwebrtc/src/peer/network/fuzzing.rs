//! Streams, URLs and answers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    framing::{Framing, MAX_FRAME, Unframer},
    relay::{Carrier, Relay},
    server::{self, Login},
    stun::Question,
};
use crate::fuzzing::Input;

/// What one input may do.
const MAX_STEPS: usize = 200;

/// A stream in pieces, of either sort; one that is whole gives the same packets.
pub fn framing(data: &[u8]) {
    let mut input = Input::new(data);
    let framing = match input.byte() % 2 {
        0 => Framing::Peer,
        _ => Framing::Turn,
    };
    let mut cut = Unframer::new(framing);
    let (mut whole, mut packets, mut is_readable) = (Vec::new(), Vec::new(), true);
    while is_readable && !input.is_empty() {
        let piece = input.piece();
        whole.extend_from_slice(piece);
        let mut keep = |packet: &[u8]| packets.push(packet.to_vec());
        is_readable = cut.take(piece, &mut keep).is_ok();
        assert!(cut.waiting() < MAX_FRAME + 4);
    }
    assert!(packets.iter().all(|packet| packet.len() <= MAX_FRAME));
    let mut uncut = Vec::new();
    let mut keep = |packet: &[u8]| uncut.push(packet.to_vec());
    let result = Unframer::new(framing).take(&whole, &mut keep);
    assert_eq!((result.is_ok(), uncut), (is_readable, packets));
}

/// The URL of a server.
pub fn server_url(data: &[u8]) {
    if let Ok(server) = server::parse(&String::from_utf8_lossy(data)) {
        assert_ne!(server.port, 0);
    }
}

/// What a STUN server answers, with the right number so that more of it is read.
pub fn stun_answer(data: &[u8]) {
    let mut input = Input::new(data);
    let base: SocketAddr = match input.byte() % 2 {
        0 => ([10, 0, 0, 7], 5_000).into(),
        _ => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 5_000).into(),
    };
    let server: SocketAddr = ([192, 0, 2, 1], 3_478).into();
    let question = Question::new(Instant::now(), server, base);
    let mut answer = input.rest().to_vec();
    if let Some(id) = answer.get_mut(4..20) {
        id.copy_from_slice(&question.message()[4..20]);
    }
    if let Some(address) = question.answered_by(server, &answer) {
        assert_eq!(address.is_ipv4(), base.is_ipv4());
    }
}

/// What a TURN server says, to a relay that sends to peers meanwhile. Messages that only somebody
/// with the password can make are not among them.
pub fn relay(data: &[u8]) {
    let mut input = Input::new(data);
    let carrier = match input.byte() % 2 {
        0 => Carrier::Datagrams,
        _ => Carrier::Stream,
    };
    let server: SocketAddr = ([192, 0, 2, 1], 3_478).into();
    let login = Login {
        username: "user".to_owned(),
        password: "password".to_owned(),
    };
    let mut now = Instant::now();
    let mut relay = Relay::new(now, server, carrier, &login);
    let mut last = Vec::new();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let mut emitted = 0;
        let mut emit = |message: &[u8]| {
            emitted += 1;
            last = message.to_vec();
        };
        match input.byte() % 4 {
            0 => {
                now += Duration::from_millis(input.word().into());
                relay.tick(now, &mut emit);
            }
            1 => {
                let peer = ([192, 0, 2, 2], input.byte().into()).into();
                relay.send(now, peer, input.piece(), &mut emit);
            }
            kind => {
                let mut message = input.piece().to_vec();
                if let (2, Some(id), Some(asked)) = (kind, message.get_mut(4..20), last.get(4..20))
                {
                    id.copy_from_slice(asked);
                }
                relay.receive(now, &message, &mut |_, _| {});
            }
        }
        assert!(emitted <= 200, "{emitted} messages for one");
        assert!(relay.peers() <= 64);
    }
}
