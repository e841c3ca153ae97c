//! Data channels.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use libwebrtc::data_channel::{DataChannel, DataChannelInit, DataChannelState};

use crate::pair::{Peer, Reports, negotiate};

/// Reports what a channel receives.
fn messages(channel: &DataChannel) -> Reports<Vec<u8>> {
    let (sender, messages) = Reports::new("message");
    channel.on_message(Some(Box::new(move |message| {
        let _ = sender.send(message.data.to_vec());
    })));
    messages
}

fn states(channel: &DataChannel) -> Reports<DataChannelState> {
    let (sender, states) = Reports::new("channel state");
    channel.on_state_change(Some(Box::new(move |state| {
        let _ = sender.send(state);
    })));
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn negotiated_channels_carry_messages_both_ways() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let mut pairs = Vec::new();
    for (label, id, lossy) in [("reliable", 100, false), ("lossy", 101, true)] {
        let at_alice = alice.channel(label, id, lossy);
        let at_bob = bob.channel(label, id, lossy);
        assert_eq!(
            (at_alice.id(), at_alice.state()),
            (id, DataChannelState::Connecting)
        );
        assert!(at_alice.send(b"too early", true).is_err());
        let opened = (states(&at_alice), states(&at_bob));
        pairs.push((at_alice, at_bob, opened));
    }
    negotiate(&mut alice, &mut bob, false).await;
    for (at_alice, at_bob, (mut alices, mut bobs)) in pairs {
        let (mut to_alice, mut to_bob) = (messages(&at_alice), messages(&at_bob));
        assert_eq!(alices.next().await, DataChannelState::Open);
        assert_eq!(bobs.next().await, DataChannelState::Open);
        at_alice.send(b"hello", true).unwrap();
        assert_eq!(to_bob.next().await, b"hello");
        at_bob.send("grüß dich".as_bytes(), false).unwrap();
        assert_eq!(to_alice.next().await, "grüß dich".as_bytes());
        assert!(at_bob.send(&[0xff], false).is_err(), "not text");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_opened_in_band_appears_at_the_other_end() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let at_alice = alice
        .connection
        .create_data_channel("chat", DataChannelInit::default())
        .unwrap();
    let mut at_alice_states = states(&at_alice);
    negotiate(&mut alice, &mut bob, false).await;
    let at_bob = bob.channels.next().await;
    assert_eq!(
        (at_bob.label().as_str(), at_bob.state()),
        ("chat", DataChannelState::Open)
    );
    let mut to_bob = messages(&at_bob);
    assert_eq!(at_alice_states.next().await, DataChannelState::Open);
    assert_eq!(at_alice.id(), at_bob.id());
    at_alice.send(b"hello", true).unwrap();
    assert_eq!(to_bob.next().await, b"hello");

    let mut at_bob_states = states(&at_bob);
    at_alice.close();
    at_alice_states
        .until(|state| *state == DataChannelState::Closed)
        .await;
    at_bob_states
        .until(|state| *state == DataChannelState::Closed)
        .await;
    assert!(at_bob.send(b"too late", true).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_buffer_adds_up_to_what_was_sent() {
    const MESSAGES: usize = 400;
    const SIZE: usize = 15_000;
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let at_alice = alice.channel("bulk", 100, false);
    let mut to_bob = messages(&bob.channel("bulk", 100, false));
    let mut opened = states(&at_alice);
    let drained = Arc::new(AtomicU64::new(0));
    let (told, mut empty) = Reports::new("empty buffer");
    let counter = Arc::clone(&drained);
    at_alice.on_buffered_amount_change(Some(Box::new(move |bytes| {
        if counter.fetch_add(bytes, Ordering::Relaxed) + bytes == (MESSAGES * SIZE) as u64 {
            let _ = told.send(());
        }
    })));
    negotiate(&mut alice, &mut bob, false).await;
    opened.until(|state| *state == DataChannelState::Open).await;
    for index in 0..MESSAGES {
        at_alice.send(&vec![index as u8; SIZE], true).unwrap();
    }
    for index in 0..MESSAGES {
        assert_eq!(
            to_bob.next().await,
            vec![index as u8; SIZE],
            "message {index}"
        );
    }
    empty.next().await;
    assert_eq!(at_alice.buffered_amount(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negotiated_id_can_be_used_again_once_its_channel_is_closed() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let first = alice.channel("first", 100, false);
    let init = DataChannelInit {
        negotiated: true,
        id: 100,
        ..DataChannelInit::default()
    };
    assert!(
        alice
            .connection
            .create_data_channel("second", init)
            .is_err(),
        "taken"
    );
    // Before there is a connection a channel just goes, as the SDK does it with old servers.
    first.close();
    let second = alice.channel("second", 100, false);
    let mut opened = states(&second);
    let at_bob = bob.channel("second", 100, false);
    let mut to_bob = messages(&at_bob);
    negotiate(&mut alice, &mut bob, false).await;
    assert_eq!(opened.next().await, DataChannelState::Open);
    second.send(b"hello", true).unwrap();
    assert_eq!(to_bob.next().await, b"hello");
}
