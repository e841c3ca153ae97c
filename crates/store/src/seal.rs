//! Sealing of secrets: AES-256-GCM, bound to a tenant and a column.
//!
//! ```text
//! envelope = format (1) · length of key id (1) · key id · nonce (12) · ciphertext · tag (16)
//! associated data = format (1) · tenant id (16) · column name
//! ```
//!
//! Nonces are random. NIST SP 800-38D allows 2^32 sealings under one key with
//! random nonces of 96 bits, which is far beyond any number of tenants.
//!
//! The length of a secret can be seen from its envelope.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use trunkline_domain::TenantId;

use crate::keyring::Keyring;

/// What the first byte of every envelope says. Another layout gets another byte.
const FORMAT: u8 = 1;

/// A column that is sealed. Its name is part of the associated data: renaming
/// a column in the database must leave these texts as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    LiveKitApiSecret,
    CallConfigBearer,
    CallConfigSigningSecret,
    ProviderApiKey,
    FallbackProviderApiKey,
}

impl Column {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LiveKitApiSecret => "livekit_api_secret",
            Self::CallConfigBearer => "call_config_bearer",
            Self::CallConfigSigningSecret => "call_config_signing_secret",
            Self::ProviderApiKey => "provider_api_key",
            Self::FallbackProviderApiKey => "fallback_provider_api_key",
        }
    }
}

/// A sealed value that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not one of our envelopes.
    #[error("is not an envelope of this program; write the secret in clear again")]
    Malformed,
    /// A later version of this program made it.
    #[error("has the format {format}, which this version does not know")]
    UnknownFormat {
        /// The first byte.
        format: u8,
    },
    /// The key is not in the key ring.
    #[error("is sealed with key {id}, which this process was not given: add it to sealing.keys")]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// It was changed, or belongs to another tenant or column, or another key
    /// had this id.
    #[error(
        "does not open with the sealing key {id}: sealing.keys holds another key of that id than \
         it was sealed with, or it was sealed for another tenant or column, or changed; give the \
         process the right key, or write the secret in clear again"
    )]
    Refused {
        /// The key's id.
        id: String,
    },
    /// It was opened, and could not be sealed with another key.
    #[error("could not be sealed anew: the cryptographic library refused")]
    NotSealed,
}

/// The secret could not be sealed: the cryptographic library refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealing failed")]
pub(crate) struct SealError;

fn associated_data(tenant: TenantId, column: Column) -> Aad<Vec<u8>> {
    let mut data = vec![FORMAT];
    data.extend_from_slice(tenant.0.as_bytes());
    data.extend_from_slice(column.name().as_bytes());
    Aad::from(data)
}

impl Keyring {
    /// Seals with the first key.
    pub(crate) fn seal(
        &self,
        tenant: TenantId,
        column: Column,
        secret: &SecretString,
    ) -> Result<Vec<u8>, SealError> {
        let key = self.sealing_key();
        let mut text = Zeroizing::new(secret.expose_secret().as_bytes().to_vec());
        let (nonce, tag) = key
            .cipher
            .seal_in_place_separate_tag(associated_data(tenant, column), &mut text)
            .map_err(|_| SealError)?;
        let id_length = u8::try_from(key.id.len()).map_err(|_| SealError)?;
        let mut envelope = vec![FORMAT, id_length];
        envelope.extend_from_slice(key.id.as_bytes());
        envelope.extend_from_slice(nonce.as_ref());
        envelope.extend_from_slice(&text);
        envelope.extend_from_slice(tag.as_ref());
        Ok(envelope)
    }

    /// Opens with the key that the envelope names.
    pub(crate) fn open(
        &self,
        tenant: TenantId,
        column: Column,
        envelope: &[u8],
    ) -> Result<SecretString, OpenError> {
        let (id, nonce, sealed) = parse(envelope)?;
        let key = self
            .key(id)
            .ok_or_else(|| OpenError::UnknownKey { id: id.to_owned() })?;
        let refused = || OpenError::Refused { id: id.to_owned() };
        let mut text = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Malformed)?;
        let text = key
            .cipher
            .open_in_place(nonce, associated_data(tenant, column), &mut text)
            .map_err(|_| refused())?;
        // Only text was ever sealed.
        let text = std::str::from_utf8(text).map_err(|_| refused())?;
        Ok(text.into())
    }
}

/// The id of the key that an envelope was sealed with.
pub(crate) fn key_of(envelope: &[u8]) -> Result<&str, OpenError> {
    parse(envelope).map(|(id, _, _)| id)
}

/// The key's id, the nonce, and the ciphertext with its tag.
fn parse(envelope: &[u8]) -> Result<(&str, &[u8], &[u8]), OpenError> {
    let (&format, rest) = envelope.split_first().ok_or(OpenError::Malformed)?;
    if format != FORMAT {
        return Err(OpenError::UnknownFormat { format });
    }
    let split = || {
        let (&id_length, rest) = rest.split_first()?;
        let (id, rest) = rest.split_at_checked(usize::from(id_length))?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        Some((std::str::from_utf8(id).ok()?, nonce, sealed))
    };
    // The id goes into messages, so it has to be one that a key could have.
    split()
        .filter(|(id, ..)| id.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or(OpenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const SECRET: &str = "s3cr3t";

    fn keyring() -> Keyring {
        Keyring::from_keys(&Keyring::generate_key().unwrap()).unwrap()
    }

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    fn sealed(keyring: &Keyring) -> Vec<u8> {
        keyring
            .seal(tenant(1), Column::ProviderApiKey, &SECRET.into())
            .unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_tenant_and_column_only() {
        let keyring = keyring();
        let envelope = sealed(&keyring);
        let open = |tenant, column| keyring.open(tenant, column, &envelope);
        let secret = open(tenant(1), Column::ProviderApiKey).unwrap();
        assert_eq!(secret.expose_secret(), SECRET);
        for (tenant, column) in [
            (tenant(2), Column::ProviderApiKey),
            (tenant(1), Column::CallConfigBearer),
            (tenant(1), Column::LiveKitApiSecret),
        ] {
            let error = open(tenant, column).unwrap_err();
            assert!(matches!(error, OpenError::Refused { .. }), "{error}");
        }
    }

    #[test]
    fn the_clear_text_is_not_in_the_envelope_and_no_two_envelopes_are_the_same() {
        let keyring = keyring();
        let envelope = sealed(&keyring);
        let found = envelope
            .windows(SECRET.len())
            .any(|w| w == SECRET.as_bytes());
        assert!(!found);
        assert_ne!(envelope, sealed(&keyring));
    }

    #[test]
    fn an_old_key_opens_while_it_is_in_the_ring() {
        let old = Keyring::generate_key().unwrap();
        let new = Keyring::generate_key().unwrap();
        let envelope = sealed(&Keyring::from_keys(&old).unwrap());
        let both = format!("{},{}", new.expose_secret(), old.expose_secret());
        let both = Keyring::from_keys(&both.into()).unwrap();
        assert!(
            both.open(tenant(1), Column::ProviderApiKey, &envelope)
                .is_ok()
        );
        let new = Keyring::from_keys(&new).unwrap();
        let error = new
            .open(tenant(1), Column::ProviderApiKey, &envelope)
            .unwrap_err();
        let id = old.expose_secret().split(':').next().unwrap().to_owned();
        assert_eq!(error, OpenError::UnknownKey { id });
    }

    #[test]
    fn another_key_of_the_same_id_does_not_open() {
        let with = |byte: &str| {
            // 32 bytes of one value.
            let key = format!("k:{}=", byte.repeat(43));
            Keyring::from_keys(&key.into()).unwrap()
        };
        let envelope = sealed(&with("A"));
        let error = with("E").open(tenant(1), Column::ProviderApiKey, &envelope);
        assert_eq!(error.unwrap_err(), OpenError::Refused { id: "k".into() });
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_open(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(keyring().open(tenant(1), Column::ProviderApiKey, &bytes).is_err());
        }

        #[test]
        fn a_changed_bit_does_not_open(index in any::<proptest::sample::Index>(), bit in 0..8u8) {
            let keyring = keyring();
            let mut envelope = sealed(&keyring);
            let at = index.index(envelope.len());
            envelope[at] ^= 1u8 << bit;
            let result = keyring.open(tenant(1), Column::ProviderApiKey, &envelope);
            prop_assert!(result.is_err());
        }
    }
}
