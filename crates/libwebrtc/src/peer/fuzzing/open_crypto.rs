//! Cryptography that protects nothing, so that a fuzzer's bytes get behind it: where a peer that
//! has the keys can put anything. Everything else is as in [`Engine`](crate::peer::engine::Engine).

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use str0m::crypto::{
    AeadAes128GcmCipher, CryptoError, CryptoProvider, Sha1HmacProvider, SrtpProvider,
    SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
    dtls::{
        DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion,
        KeyingMaterial, ProtocolVersion, SrtpProfile,
    },
    from_feature_flags,
};

use crate::{peer::stream_limit::limited, sdp::Fingerprint};

/// The type of a DTLS record with data. Source: RFC 6347, section 4.1.
const RECORD: u8 = 23;

/// What everybody shows for a certificate.
const CERTIFICATE: &[u8] = b"a certificate";

/// Length of the tags that nobody checks.
pub(in crate::peer) const TAG: [u8; 16] = [0; 16];

static REAL: LazyLock<CryptoProvider> = LazyLock::new(from_feature_flags);

static OPEN: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(limited(CryptoProvider {
        srtp_provider: &OpenSrtp,
        sha1_hmac_provider: &NoIntegrity,
        sha1_provider: REAL.sha1_provider,
        sha256_provider: REAL.sha256_provider,
        dtls_provider: &OpenDtls,
    }))
});

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&OPEN)
}

/// Of [`CERTIFICATE`].
pub(super) fn fingerprint() -> Fingerprint {
    Fingerprint {
        hash: "sha-256".to_owned(),
        digest: REAL.sha256_provider.sha256(CERTIFICATE).to_vec(),
    }
}

/// Data as it travels.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    [&[RECORD], data].concat()
}

/// The data of a datagram, if it is some.
pub(in crate::peer) fn recorded(datagram: &[u8]) -> Option<&[u8]> {
    datagram.strip_prefix(&[RECORD])
}

/// Every message of STUN has the code that it should have, which is zero.
#[derive(Debug)]
struct NoIntegrity;

impl Sha1HmacProvider for NoIntegrity {
    fn sha1_hmac(&self, _: &[u8], _: &[&[u8]]) -> [u8; 20] {
        [0; 20]
    }
}

#[derive(Debug)]
struct OpenSrtp;

impl SrtpProvider for OpenSrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        REAL.srtp_provider.aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &OpenSrtp
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        REAL.srtp_provider.aead_aes_256_gcm()
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        REAL.srtp_provider
            .srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        REAL.srtp_provider
            .srtp_aes_256_ecb_round(key, input, output);
    }
}

impl SupportedAeadAes128Gcm for OpenSrtp {
    fn create_cipher(&self, _: [u8; 16], _: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(OpenCipher)
    }
}

/// Clear text, and a tag of zeros.
#[derive(Debug)]
struct OpenCipher;

impl AeadAes128GcmCipher for OpenCipher {
    fn encrypt(
        &mut self,
        _: &[u8; 12],
        _: &[u8],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), CryptoError> {
        let (text, tag) = output.split_at_mut(input.len());
        text.copy_from_slice(input);
        tag.fill(0);
        Ok(())
    }

    fn decrypt(
        &mut self,
        _: &[u8; 12],
        _: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let text = &input[..input.len() - TAG.len()];
        output[..text.len()].copy_from_slice(text);
        Ok(text.len())
    }
}

#[derive(Debug)]
struct OpenDtls;

impl DtlsProvider for OpenDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        Some(DtlsCert {
            certificate: CERTIFICATE.to_vec(),
            private_key: Vec::new(),
        })
    }

    fn new_dtls(
        &self,
        _: &DtlsCert,
        now: Instant,
        _: DtlsVersion,
        _: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Open {
            is_active: false,
            now,
            outputs: [Said::Connected, Said::Certificate, Said::Keys].into(),
        }))
    }
}

/// A handshake that has succeeded, and records with nothing but their type before the data.
#[derive(Debug)]
struct Open {
    is_active: bool,
    now: Instant,
    outputs: std::collections::VecDeque<Said>,
}

#[derive(Debug)]
enum Said {
    Connected,
    Certificate,
    Keys,
    Packet(Vec<u8>),
    Data(Vec<u8>),
}

fn put<'a>(buffer: &'a mut [u8], bytes: &[u8]) -> &'a [u8] {
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    &buffer[..length]
}

impl DtlsInstance for Open {
    fn set_active(&mut self, active: bool) {
        self.is_active = active;
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if let Some(data) = recorded(packet) {
            self.outputs.push_back(Said::Data(data.to_vec()));
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.outputs.pop_front() {
            None => DtlsOutput::Timeout(self.now + std::time::Duration::from_secs(60)),
            Some(Said::Connected) => DtlsOutput::Connected,
            Some(Said::Certificate) => DtlsOutput::PeerCert(put(buffer, CERTIFICATE)),
            Some(Said::Keys) => {
                let profile = SrtpProfile::AEAD_AES_128_GCM;
                let keys = vec![0; profile.keying_material_len()];
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(&keys), profile)
            }
            Some(Said::Packet(packet)) => DtlsOutput::Packet(put(buffer, &packet)),
            Some(Said::Data(data)) => DtlsOutput::ApplicationData(put(buffer, &data)),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.outputs.push_back(Said::Packet(record(data)));
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        self.is_active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        None
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        Ok(())
    }
}
