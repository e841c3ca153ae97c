//! The keys under which secrets are sealed.
//!
//! Several keys at once, so that they can be rotated: the first seals, every one
//! opens. A key is known by an id that stands in each envelope.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

/// AES-256.
const KEY_BYTES: usize = 32;
/// Room for a date or a name. One byte in the envelope holds the length.
const MAX_ID_BYTES: usize = 32;
/// A rotation has two. More than a few are keys that were never retired.
const MAX_KEYS: usize = 16;

/// The keys cannot be used. No text of a key is in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No key at all.
    #[error("there is no key; make one with `trunkline keys generate`")]
    Empty,
    /// More than are ever needed.
    #[error("there are more than {MAX_KEYS} keys; retire some")]
    TooMany,
    /// An entry that is not `id:key`.
    #[error(
        "key {position} must be written id:key, with an id of 1 to {MAX_ID_BYTES} letters, \
         digits, '-', '_' and '.', and the key in base64"
    )]
    Form {
        /// From 1.
        position: usize,
    },
    /// Not 32 bytes in base64.
    #[error("key {id} must be {KEY_BYTES} bytes in base64")]
    Length {
        /// The key's id.
        id: String,
    },
    /// Two keys with one id.
    #[error("key {id} is there twice")]
    Repeated {
        /// The key's id.
        id: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) cipher: RandomizedNonceKey,
}

/// AES-256-GCM keys by id. A clone is another handle on the same keys.
#[derive(Clone)]
pub struct Keyring {
    /// Never empty.
    keys: Arc<[Key]>,
}

impl Keyring {
    /// Reads `id:base64key,id2:base64key`. The first is used for sealing.
    /// Blanks and line ends around an entry are ignored.
    ///
    /// # Errors
    /// When there is none, or one is not of that form.
    pub fn from_keys(text: &SecretString) -> Result<Self, KeyringError> {
        let mut keys: Vec<Key> = Vec::new();
        let entries = text.expose_secret().split([',', '\n']).map(str::trim);
        for (index, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            if index == MAX_KEYS {
                return Err(KeyringError::TooMany);
            }
            let key = parse(entry, index + 1)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeyringError::Repeated { id: key.id });
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        Ok(Self { keys: keys.into() })
    }

    /// A new entry, `id:base64key`, from the operating system's random bytes.
    ///
    /// # Errors
    /// When it gives none.
    pub fn generate_key() -> Result<SecretString, KeyringError> {
        let mut id = [0; 4];
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        for bytes in [&mut id[..], &mut key[..]] {
            aws_lc_rs::rand::fill(bytes).map_err(|_| KeyringError::NoRandomness)?;
        }
        let key = Zeroizing::new(STANDARD.encode(*key));
        Ok(format!("k{:08x}:{}", u32::from_be_bytes(id), *key).into())
    }

    /// The ids, the sealing key's first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    pub(crate) fn sealing_key(&self) -> &Key {
        &self.keys[0]
    }

    pub(crate) fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

fn parse(entry: &str, position: usize) -> Result<Key, KeyringError> {
    let (id, key) = entry
        .split_once(':')
        .filter(|(id, _)| is_id(id))
        .ok_or(KeyringError::Form { position })?;
    let wrong = || KeyringError::Length { id: id.to_owned() };
    let bytes = Zeroizing::new(STANDARD.decode(key.trim()).map_err(|_| wrong())?);
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| wrong())?;
    Ok(Key {
        id: id.to_owned(),
        cipher,
    })
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn read(text: &str) -> Result<Keyring, KeyringError> {
        Keyring::from_keys(&text.into())
    }

    #[test]
    fn the_first_of_several_keys_seals() {
        let keyring = read(&format!("new:{KEY} ,\n old:{KEY}\n")).unwrap();
        assert_eq!(keyring.ids().collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!(keyring.sealing_key().id, "new");
    }

    #[test]
    fn a_generated_key_can_be_read_and_is_never_the_same() {
        let entry = Keyring::generate_key().unwrap();
        assert_eq!(Keyring::from_keys(&entry).unwrap().ids().count(), 1);
        let other = Keyring::generate_key().unwrap();
        assert_ne!(entry.expose_secret(), other.expose_secret());
    }

    #[test]
    fn a_wrong_entry_is_named_and_its_key_is_not_shown() {
        for (text, error) in [
            ("", KeyringError::Empty),
            (" , ", KeyringError::Empty),
            (KEY, KeyringError::Form { position: 1 }),
            (":secretbytes", KeyringError::Form { position: 1 }),
            ("a b:secretbytes", KeyringError::Form { position: 1 }),
            ("a:secretbytes", KeyringError::Length { id: "a".into() }),
            ("a:c2VjcmV0", KeyringError::Length { id: "a".into() }),
            (
                &format!("a:{KEY},a:{KEY}"),
                KeyringError::Repeated { id: "a".into() },
            ),
        ] {
            let found = read(text).unwrap_err();
            assert_eq!(found, error, "{text}");
            let shown = format!("{found} {found:?}");
            assert!(
                !shown.contains("secretbytes") && !shown.contains("AAEC"),
                "{shown}"
            );
        }
    }

    #[test]
    fn debug_shows_ids_only() {
        let keyring = read(&format!("a:{KEY}")).unwrap();
        assert_eq!(format!("{keyring:?}"), r#"["a"]"#);
    }
}
