//! What is said in a call, written into its room as LiveKit's clients expect it: a text
//! stream of topic `lk.transcription` for each sentence, with the track that it was said on.
//!
//! Source: docs.livekit.io, "Text and transcriptions".

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use livekit::SendTextOptions;
use livekit::prelude::*;
use trunkline_domain::chain;
use trunkline_realtime::{Event, ItemId, Transcript};

const TOPIC: &str = "lk.transcription";
/// Texts that are on their way into the room at once. A turn has one.
const MAX_UNDER_WAY: usize = 16;
/// How long one may take. Nobody waits for it.
const LIMIT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Transcripts {
    agent: Option<TrackSid>,
    caller: Option<TrackSid>,
    under_way: usize,
}

impl Transcripts {
    pub(crate) fn agent_track(&mut self, track: TrackSid) {
        self.agent = Some(track);
    }

    pub(crate) fn caller_track(&mut self, track: TrackSid) {
        self.caller = Some(track);
    }

    /// What is to be written for an event. Tell [`Transcripts::written`] when it is done.
    pub(crate) fn read(
        &mut self,
        event: &Event,
        participant: &LocalParticipant,
    ) -> Option<BoxFuture<'static, ()>> {
        let (track, item, text) = match event {
            Event::AgentTranscript {
                item,
                text: Transcript::Final(text),
            } => (&self.agent, item, text),
            Event::CallerTranscript {
                item,
                text: Transcript::Final(text),
            } => (&self.caller, item, text),
            _ => return None,
        };
        let track = track.as_ref()?;
        if text.trim().is_empty() || self.under_way >= MAX_UNDER_WAY {
            return None;
        }
        self.under_way += 1;
        let options = options(track, item);
        let (participant, text) = (participant.clone(), text.clone());
        let write = async move {
            let sent = participant.send_text(&text, options);
            match tokio::time::timeout(LIMIT, sent).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = %chain(&error), "a transcript did not get into the room");
                }
                Err(_) => tracing::debug!("a transcript did not get into the room in time"),
            }
        };
        Some(write.boxed())
    }

    pub(crate) fn written(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

fn options(track: &TrackSid, item: &ItemId) -> SendTextOptions {
    let mut options = SendTextOptions::new_with_topic(TOPIC);
    options.attributes = HashMap::from([
        ("lk.transcribed_track_id".to_owned(), track.to_string()),
        ("lk.segment_id".to_owned(), item.to_string()),
        ("lk.transcription_final".to_owned(), "true".to_owned()),
    ]);
    options
}
