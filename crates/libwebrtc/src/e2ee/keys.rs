//! Keys by participant and index.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::{
    aead::{AES_128_GCM, LessSafeKey, UnboundKey},
    error::Unspecified,
};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretSlice};

use super::Derivation;

/// The key index is one byte of a frame.
const MAX_RING: usize = 256;

/// Where the application names no size. Source: the SDKs' default.
const DEFAULT_RING: usize = 16;

/// Most ratchet steps that are tried, whatever the application wishes: two derivations each.
const MAX_WINDOW: usize = 64;

/// A secret, the key that follows from it, and its successor once somebody has asked.
pub(crate) struct KeySet {
    material: SecretSlice<u8>,
    pub(super) key: LessSafeKey,
    next: OnceLock<Arc<Self>>,
    /// Whether somebody derives successors now.
    is_climbed: AtomicBool,
}

impl KeySet {
    /// Takes its time with PBKDF2.
    ///
    /// # Errors
    /// Where the cipher refuses the key, which it does not for one of the right length.
    fn new(material: Vec<u8>, derivation: &Derivation) -> Result<Arc<Self>, Unspecified> {
        let key: [u8; 16] = derivation.derive(&material);
        Ok(Arc::new(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?),
            material: material.into(),
            next: OnceLock::new(),
            is_climbed: AtomicBool::new(false),
        }))
    }

    /// The key set one ratchet step on. Takes its time with PBKDF2, once.
    fn ratcheted(&self, derivation: &Derivation) -> Result<&Arc<Self>, Unspecified> {
        if let Some(next) = self.next.get() {
            return Ok(next);
        }
        let material: [u8; 32] = derivation.derive(self.material.expose_secret());
        let next = Self::new(material.into(), derivation)?;
        Ok(self.next.get_or_init(|| next))
    }

    /// The key set one step on, if it has been derived.
    pub(super) fn derived_successor(&self) -> Option<&Arc<Self>> {
        self.next.get()
    }

    fn export(&self) -> Vec<u8> {
        self.material.expose_secret().to_vec()
    }
}

/// What the application chose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// One key for all participants.
    pub(crate) is_shared: bool,
    /// How many ratchet steps a receiver tries.
    pub(crate) window: usize,
    /// How many frames in a row may fail before a key is given up; `None` never gives up.
    pub(crate) tolerance: Option<u32>,
    ring: usize,
}

impl Policy {
    /// As the SDK writes it: sizes that make no sense become the nearest that do.
    pub(crate) fn new(is_shared: bool, window: i32, tolerance: i32, ring: i32) -> Self {
        let ring = match usize::try_from(ring) {
            Ok(0) | Err(_) => DEFAULT_RING,
            Ok(ring) => ring.min(MAX_RING),
        };
        Self {
            is_shared,
            window: usize::try_from(window).unwrap_or(0).min(MAX_WINDOW),
            tolerance: u32::try_from(tolerance).ok(),
            ring,
        }
    }
}

/// All keys of a room.
pub(crate) struct Keys {
    pub(super) policy: Policy,
    derivation: Derivation,
    rings: Mutex<Rings>,
    /// What frames made by the server end with; empty until it is known.
    injected_trailer: Mutex<Vec<u8>>,
}

#[derive(Default)]
struct Rings {
    shared: Option<Ring>,
    /// With a shared key: of participants whose keys went their own way.
    own: HashMap<String, Ring>,
}

/// The keys of one participant.
#[derive(Clone)]
struct Ring {
    slots: Vec<Option<Arc<KeySet>>>,
    current: usize,
}

impl Ring {
    fn new(size: usize) -> Self {
        Self {
            slots: vec![None; size],
            current: 0,
        }
    }

    /// The slot of an index; those below 0 mean the current one.
    fn find(&self, index: i32) -> Option<(u8, &Arc<KeySet>)> {
        let index = usize::try_from(index).unwrap_or(self.current);
        let set = self.slots.get(index)?.as_ref()?;
        Some((u8::try_from(index).ok()?, set))
    }

    fn put(&mut self, index: i32, set: Arc<KeySet>) {
        if let Ok(index) = usize::try_from(index) {
            self.current = index % self.slots.len();
        }
        self.slots[self.current] = Some(set);
    }
}

impl Rings {
    fn of(&self, participant: &str) -> Option<&Ring> {
        self.own.get(participant).or(self.shared.as_ref())
    }

    /// The ring of a participant alone.
    fn own(&mut self, participant: &str, size: usize) -> &mut Ring {
        if !self.own.contains_key(participant) {
            let ring = self.shared.clone().unwrap_or_else(|| Ring::new(size));
            self.own.insert(participant.to_owned(), ring);
        }
        self.own
            .entry(participant.to_owned())
            .or_insert_with(|| Ring::new(size))
    }

    fn put_shared(&mut self, index: i32, set: &Arc<KeySet>, size: usize) {
        let shared = self.shared.get_or_insert_with(|| Ring::new(size));
        shared.put(index, Arc::clone(set));
        for ring in self.own.values_mut() {
            ring.put(index, Arc::clone(set));
        }
    }
}

impl Keys {
    pub(crate) fn new(policy: Policy, derivation: Derivation) -> Self {
        Self {
            policy,
            derivation,
            rings: Mutex::default(),
            injected_trailer: Mutex::default(),
        }
    }

    /// Sets the key of all; not where participants have their own.
    pub(crate) fn set_shared(&self, index: i32, secret: Vec<u8>) -> bool {
        if !self.policy.is_shared {
            return false;
        }
        let Ok(set) = KeySet::new(secret, &self.derivation) else {
            return false;
        };
        self.rings.lock().put_shared(index, &set, self.policy.ring);
        true
    }

    /// Sets the key of a participant.
    pub(crate) fn set(&self, participant: &str, index: i32, secret: Vec<u8>) -> bool {
        let Ok(set) = KeySet::new(secret, &self.derivation) else {
            return false;
        };
        let mut rings = self.rings.lock();
        rings.own(participant, self.policy.ring).put(index, set);
        true
    }

    /// Moves the key of all one step on; answers its secret.
    pub(crate) fn ratchet_shared(&self, index: i32) -> Option<Vec<u8>> {
        let (index, set) = self.find_shared(index)?;
        let next = set.ratcheted(&self.derivation).ok()?;
        let index = i32::from(index);
        let mut rings = self.rings.lock();
        // A key that was set meanwhile is the newer one.
        let is_current = |(_, found): (u8, &Arc<KeySet>)| Arc::ptr_eq(found, &set);
        let shared = rings.shared.as_ref()?;
        if !shared.find(index).is_some_and(is_current) {
            return None;
        }
        rings.put_shared(index, next, self.policy.ring);
        Some(next.export())
    }

    /// Moves the key of a participant one step on; answers its secret.
    pub(crate) fn ratchet(&self, participant: &str, index: i32) -> Option<Vec<u8>> {
        let (index, set) = self.find(participant, index)?;
        let next = set.ratcheted(&self.derivation).ok()?;
        self.advance(participant, index, &set, next)
            .then(|| next.export())
    }

    /// The secret of the key of all.
    pub(crate) fn export_shared(&self, index: i32) -> Option<Vec<u8>> {
        self.find_shared(index).map(|(_, set)| set.export())
    }

    /// The secret of the key of a participant.
    pub(crate) fn export(&self, participant: &str, index: i32) -> Option<Vec<u8>> {
        self.find(participant, index).map(|(_, set)| set.export())
    }

    fn find_shared(&self, index: i32) -> Option<(u8, Arc<KeySet>)> {
        let rings = self.rings.lock();
        let (index, set) = rings.shared.as_ref()?.find(index)?;
        Some((index, Arc::clone(set)))
    }

    /// The key that a participant uses under an index, and the index itself.
    pub(super) fn find(&self, participant: &str, index: i32) -> Option<(u8, Arc<KeySet>)> {
        let rings = self.rings.lock();
        let (index, set) = rings.of(participant)?.find(index)?;
        Some((index, Arc::clone(set)))
    }

    /// Puts a successor in a key's place, unless another key has been set there.
    pub(super) fn advance(
        &self,
        participant: &str,
        index: u8,
        from: &Arc<KeySet>,
        to: &Arc<KeySet>,
    ) -> bool {
        let index = i32::from(index);
        let mut rings = self.rings.lock();
        let found = rings.of(participant).and_then(|ring| ring.find(index));
        let is_current = found.is_some_and(|(_, found)| Arc::ptr_eq(found, from));
        if is_current {
            let ring = rings.own(participant, self.policy.ring);
            ring.put(index, Arc::clone(to));
        }
        is_current
    }

    /// Derives all successors that a receiver may try. Takes its time with PBKDF2, once a key;
    /// where another does so already, nothing happens.
    pub(crate) fn climb(&self, set: &KeySet) {
        if set.is_climbed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut set_above = set;
        for _ in 0..self.policy.window {
            let Ok(next) = set_above.ratcheted(&self.derivation) else {
                break;
            };
            set_above = next;
        }
        set.is_climbed.store(false, Ordering::Relaxed);
    }

    /// The step above a key. Takes its time with PBKDF2, once.
    pub(super) fn successor<'a>(&self, set: &'a KeySet) -> Option<&'a Arc<KeySet>> {
        set.ratcheted(&self.derivation).ok()
    }

    pub(crate) fn set_injected_trailer(&self, trailer: Vec<u8>) {
        *self.injected_trailer.lock() = trailer;
    }

    /// What is left of a frame that the server made, if it is one.
    pub(super) fn injected<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let trailer = self.injected_trailer.lock();
        if trailer.is_empty() {
            return None;
        }
        frame.strip_suffix(trailer.as_slice())
    }

    #[cfg(test)]
    pub(super) fn known_participants(&self) -> usize {
        self.rings.lock().own.len()
    }
}
