//! Who this process is to its peers: one certificate, and new ICE credentials for each beginning.

use std::sync::{Arc, OnceLock};

use str0m::{
    IceCreds,
    config::{CryptoProvider, DtlsCert},
    crypto::from_feature_flags,
};

use crate::{
    RtcError,
    peer::stream_limit::limited,
    sdp::{Fingerprint, IceCredentials},
};

/// The certificate of this process, and the crypto library behind it.
pub(super) struct Identity {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) certificate: DtlsCert,
    fingerprint: Fingerprint,
}

/// One certificate for all connections of the process: making one costs more than a handshake.
pub(super) fn identity() -> Result<&'static Identity, RtcError> {
    static IDENTITY: OnceLock<Option<Identity>> = OnceLock::new();
    let make = || {
        let provider = Arc::new(limited(from_feature_flags()));
        let certificate = provider.dtls_provider.generate_certificate()?;
        let digest = provider
            .sha256_provider
            .sha256(&certificate.certificate)
            .to_vec();
        let fingerprint = Fingerprint {
            hash: "sha-256".to_owned(),
            digest,
        };
        Some(Identity {
            provider,
            certificate,
            fingerprint,
        })
    };
    let identity = IDENTITY.get_or_init(make).as_ref();
    identity.ok_or_else(|| RtcError::internal("no DTLS certificate could be made"))
}

/// The fingerprint of this process' certificate.
pub(in crate::peer) fn local_fingerprint() -> Result<Fingerprint, RtcError> {
    Ok(identity()?.fingerprint.clone())
}

/// New random ICE credentials.
pub(in crate::peer) fn new_credentials() -> IceCredentials {
    let IceCreds { ufrag, pass } = IceCreds::new();
    IceCredentials { ufrag, pwd: pass }
}

pub(super) fn str0m_credentials(credentials: &IceCredentials) -> IceCreds {
    IceCreds {
        ufrag: credentials.ufrag.clone(),
        pass: credentials.pwd.clone(),
    }
}
