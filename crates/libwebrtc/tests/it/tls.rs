//! What those around the engine find of rustls.

use libwebrtc::peer_connection_factory::PeerConnectionFactory;
use rustls::crypto::CryptoProvider;

#[test]
fn a_factory_leaves_a_process_that_has_chosen_its_cryptography() {
    let _factory = PeerConnectionFactory::with_options(false, true);
    // Without, the SDK's first `wss://` panics where rustls knows two.
    assert!(CryptoProvider::get_default().is_some());
}
