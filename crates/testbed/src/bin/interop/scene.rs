//! What the two do in a room, and what must come of it.

use livekit::webrtc::native::frame_cryptor::EncryptionState;
use trunkline_testbed::livekit::LiveKitServer;

use crate::ours::{Ours, grants};
use crate::report::Notes;
use crate::theirs::{Encryption, Runtimes, Sdk, Theirs, hex};

/// What ours plays, and what the other plays.
const OUR_HZ: u32 = 440;
const THEIR_HZ: u32 = 600;

/// Both play at half of full scale.
const LEVEL: std::ops::Range<f64> = 0.4..0.6;

/// Less of a tone than this is none.
const NO_TONE: std::ops::Range<f64> = 0.0..0.1;

const PASSWORD: &[u8] = b"password";
const OTHER_PASSWORD: &[u8] = b"another password";
const NEXT_PASSWORD: &[u8] = b"the next password";

/// The SDKs' own default.
const RATCHET_WINDOW: i32 = 16;

const US: &str = "rust";

#[derive(Clone, Copy)]
pub(crate) enum Scene {
    Clear,
    Encrypted,
    DifferentKeys,
}

impl Scene {
    pub(crate) const ALL: [Self; 3] = [Self::Clear, Self::Encrypted, Self::DifferentKeys];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clear => "in clear",
            Self::Encrypted => "encrypted",
            Self::DifferentKeys => "with different keys",
        }
    }

    /// Ours and theirs.
    fn encryption(self) -> [Option<Encryption>; 2] {
        let with = |key, ratchet_window| {
            Some(Encryption {
                key,
                ratchet_window,
            })
        };
        match self {
            Self::Clear => [None, None],
            Self::Encrypted => [
                with(PASSWORD, RATCHET_WINDOW),
                with(PASSWORD, RATCHET_WINDOW),
            ],
            // The C++ engine derives the window anew for each frame that it cannot decrypt, and is
            // then minutes behind.
            Self::DifferentKeys => [with(PASSWORD, RATCHET_WINDOW), with(OTHER_PASSWORD, 0)],
        }
    }

    pub(crate) async fn play(
        self,
        server: &LiveKitServer,
        sdk: Sdk,
        runtimes: &Runtimes,
        mut notes: Notes<'_>,
    ) -> anyhow::Result<()> {
        let played = self.try_to_play(server, sdk, runtimes, &mut notes).await;
        if let Err(error) = played {
            notes.broke(&error)?;
        }
        Ok(())
    }

    async fn try_to_play(
        self,
        server: &LiveKitServer,
        sdk: Sdk,
        runtimes: &Runtimes,
        notes: &mut Notes<'_>,
    ) -> anyhow::Result<()> {
        let [our_encryption, their_encryption] = self.encryption();
        let room = format!("{} {}", sdk.name(), self.name());
        let mut theirs = Theirs::start(sdk, runtimes)?;
        let token = server.token(sdk.name(), grants(&room))?;
        let url = server.url();
        theirs
            .join(&url, &token, their_encryption, THEIR_HZ)
            .await?;
        let token = server.token(US, grants(&room))?;
        let ours = Ours::join(&url, &token, our_encryption, OUR_HZ).await?;
        let mut pair = Pair {
            notes,
            ours,
            theirs,
        };
        match self {
            Self::Clear => pair.understand("").await?,
            Self::Encrypted => {
                pair.understand("").await?;
                pair.ratchet_keys().await?;
                pair.change_keys().await?;
            }
            Self::DifferentKeys => {
                pair.do_not_understand().await?;
                pair.agree_on_a_key().await?;
            }
        }
        pair.theirs.end().await?;
        pair.ours.leave().await
    }
}

/// How data packets travel.
#[derive(Clone, Copy)]
pub(crate) enum Delivery {
    Reliable,
    Lossy,
}

impl Delivery {
    fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Lossy => "lossy",
        }
    }

    pub(crate) fn is_reliable(self) -> bool {
        matches!(self, Self::Reliable)
    }
}

/// The two in a room.
struct Pair<'a, 'report> {
    notes: &'a mut Notes<'report>,
    ours: Ours,
    theirs: Theirs,
}

impl Pair<'_, '_> {
    /// Both ways, sound and packets.
    async fn understand(&mut self, when: &str) -> anyhow::Result<()> {
        let level = self.ours.hear(THEIR_HZ).await?;
        self.notes
            .check_range(&format!("we hear them{when}"), level, LEVEL)?;
        let level = self.theirs.hear(OUR_HZ).await?;
        self.notes
            .check_range(&format!("they hear us{when}"), level, LEVEL)?;
        for delivery in [Delivery::Reliable, Delivery::Lossy] {
            let how = delivery.name();
            let text = format!("{how} to them");
            self.ours.send(&text, delivery).await?;
            let is_right = self.theirs.receive().await? == text;
            let what = format!("they read us{when}, {how}");
            self.notes.check(&what, is_right)?;
            let text = format!("{how} to us");
            self.theirs.send(&text, delivery).await?;
            let is_right = self.ours.receive().await? == text;
            let what = format!("we read them{when}, {how}");
            self.notes.check(&what, is_right)?;
        }
        Ok(())
    }

    /// They ratchet their key and we follow; then we ratchet ours.
    async fn ratchet_keys(&mut self) -> anyhow::Result<()> {
        let theirs = self.theirs.ratchet(0).await?;
        self.ours.hear_state(EncryptionState::KeyRatcheted).await?;
        let level = self.ours.hear(THEIR_HZ).await?;
        self.notes
            .check_range("we follow their ratchet", level, LEVEL)?;
        let ours = self.ours.ratchet(0)?;
        if self.theirs.sdk.shows_keys() {
            let is_same = theirs == Some(hex(&ours));
            self.notes.check("both ratchet to the same key", is_same)?;
        }
        self.understand(" when both have ratcheted").await
    }

    /// Another key, while they talk; then we ratchet it.
    async fn change_keys(&mut self) -> anyhow::Result<()> {
        self.change_key().await?;
        self.understand(" with another key").await?;
        let sdk = self.theirs.sdk;
        if sdk.follows_ratchets() {
            self.ours.ratchet(sdk.next_key_index())?;
            self.theirs.hear(OUR_HZ).await?;
            let told = self.theirs.told().await?;
            let has_followed = told.contains(&format!("{US} KEY_RATCHETED"));
            self.notes.check("they follow our ratchet", has_followed)?;
        }
        Ok(())
    }

    /// With different keys there is silence, and we are told.
    async fn do_not_understand(&mut self) -> anyhow::Result<()> {
        let state = EncryptionState::DecryptionFailed;
        self.ours.hear_state(state).await?;
        self.notes
            .check("we are told that we cannot decrypt", true)?;
        let share = self.ours.share(THEIR_HZ).await?;
        self.notes
            .check_range("we do not hear them", share, NO_TONE)?;
        let share = self.theirs.share(OUR_HZ).await?;
        self.notes
            .check_range("they do not hear us", share, NO_TONE)?;
        if self.theirs.sdk.reports_wrong_keys() {
            let told = self.theirs.told().await?;
            let is_told = told.iter().any(|state| state.starts_with(US));
            self.notes
                .check("they are told that they cannot decrypt", is_told)?;
        }
        Ok(())
    }

    /// What was written under different keys stays unread, for reliable packets come in order and
    /// the first ones that are read are later ones.
    async fn agree_on_a_key(&mut self) -> anyhow::Result<()> {
        self.ours
            .send("unreadable for them", Delivery::Reliable)
            .await?;
        self.theirs
            .send("unreadable for us", Delivery::Reliable)
            .await?;
        self.change_key().await?;
        self.understand(" once keys are the same").await
    }

    async fn change_key(&mut self) -> anyhow::Result<()> {
        let index = self.theirs.sdk.next_key_index();
        self.theirs.set_key(NEXT_PASSWORD, index).await?;
        self.ours.set_key(NEXT_PASSWORD, index)
    }
}
