//! What goes wrong in one connection, and stays there.

use libwebrtc::{
    data_channel::DataChannelInit,
    peer_connection::{IceConnectionState, PeerConnectionState},
};

use crate::pair::{Peer, Reports, connected, negotiate};

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_dies_takes_its_own_connection_and_no_other() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (mut carol, mut dave) = (Peer::new(), Peer::new());
    let to_bob = alice.channel("negotiated", 100, false);
    let (to_dave, at_dave) = (
        carol.channel("theirs", 100, false),
        dave.channel("theirs", 100, false),
    );
    negotiate(&mut alice, &mut bob, false).await;
    negotiate(&mut carol, &mut dave, false).await;
    connected(&mut alice, &mut bob).await;
    connected(&mut carol, &mut dave).await;

    // One callback panics in the driver's hands, another while the first is being unwound.
    bob.connection
        .on_data_channel(Some(Box::new(|_| panic!("on purpose"))));
    bob.connection
        .on_ice_connection_state_change(Some(Box::new(|state| {
            assert_ne!(state, IceConnectionState::Failed, "on purpose too");
        })));
    let init = DataChannelInit::default();
    let _opened = alice
        .connection
        .create_data_channel("in-band", init)
        .unwrap();
    bob.states
        .until(|state| *state == PeerConnectionState::Failed)
        .await;
    // A connection without a driver still answers.
    assert_eq!(
        bob.connection.connection_state(),
        PeerConnectionState::Failed
    );
    bob.connection.close();
    drop(to_bob);

    let (sender, mut heard) = Reports::new("message");
    at_dave.on_message(Some(Box::new(move |message| {
        let _ = sender.send(message.data.to_vec());
    })));
    to_dave.send(b"still here", true).unwrap();
    assert_eq!(heard.next().await, b"still here");
}
