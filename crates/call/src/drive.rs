//! Drives room, backend and model with the machine of one call. One task; what
//! takes time runs as a future beside the loop and comes back as an input, so
//! the loop never waits for a peer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::{CallRecord, SipParticipant, Tenant, TransferTarget, chain};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use livekit::options::TrackPublishOptions;
use livekit::prelude::*;
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::prelude::RtcAudioSource;
use livekit_api::services::room::RoomClient;
use secrecy::ExposeSecret;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use trunkline_callconfig::CallConfigRequest;
use trunkline_domain as domain;
use trunkline_realtime::{Command, Recovery, Session};
use url::Url;

use crate::assignment::{Assignment, JobReporter};
use crate::held::Held;
use crate::live::Entered;
use crate::machine::{CallMachine, Ear, Effect, Input, Provider, Retry};
use crate::not_joined::NotJoined;
use crate::playout::Voice;
use crate::room::{Reading, RoomReader};
use crate::speaker::{Speaker, SpeakerEvent};
use crate::transcripts::Transcripts;
use crate::{Services, apology, recording};

/// One attempt to open the room's signalling socket, and how many more are made.
/// A caller waits for them in silence or ringing.
const JOIN_TIMEOUT: Duration = Duration::from_secs(4);
const JOIN_RETRIES: u32 = 1;
/// Closing the room's connections. What is not closed by then is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long others may take to leave a room that is deleted under them.
const EMPTYING_TIMEOUT: Duration = Duration::from_secs(3);

/// What a future beside the loop brought.
enum Done {
    Input(Input),
    Published(TrackSid),
    /// A piece of writing is in the room, or was given up.
    Written,
    Joined(Box<Room>, UnboundedReceiver<RoomEvent>),
    Model {
        generation: u64,
        result: Result<Box<Session>, Input>,
    },
}

/// One call under way.
pub(crate) struct Drive {
    services: Arc<Services>,
    tenant: Arc<Tenant>,
    assignment: Assignment,
    jobs: Arc<dyn JobReporter>,
    machine: CallMachine,
    started_at: DateTime<Utc>,
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
    room: Option<(Room, UnboundedReceiver<RoomEvent>)>,
    reader: RoomReader,
    sip: Option<SipParticipant>,
    caller_audio: Option<NativeAudioStream>,
    /// What the caller says while there is no model to hear it.
    held: Held,
    transcripts: Transcripts,
    speaker: Speaker,
    model: Option<Session>,
    /// Raised with every new model socket, so that the result of an attempt that
    /// was given up is recognised.
    model_generation: u64,
    entered: Entered,
}

impl Drive {
    pub(crate) fn new(
        services: Arc<Services>,
        tenant: Arc<Tenant>,
        assignment: Assignment,
        jobs: Arc<dyn JobReporter>,
    ) -> Self {
        let machine = CallMachine::new(Instant::now(), &tenant);
        let pending = FuturesUnordered::new();
        pending.push(join(&assignment));
        let started_at = Utc::now();
        let entered = services.live.enter(&tenant, &assignment, started_at);
        Self {
            services,
            tenant,
            assignment,
            jobs,
            machine,
            started_at,
            pending,
            room: None,
            reader: RoomReader::default(),
            sip: None,
            caller_audio: None,
            held: Held::default(),
            transcripts: Transcripts::default(),
            speaker: Speaker::new(),
            model: None,
            model_generation: 0,
            entered,
        }
    }

    /// Runs the call to its end.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> CallRecord {
        let mut stopped = false;
        let mut hung_up = false;
        let hang_up = self.entered.hang_up().clone();
        self.perform_effects();
        while !self.machine.is_over() {
            let deadline = self.machine.deadline();
            let input = tokio::select! {
                Some(done) = self.pending.next() => self.on_done(done),
                event = next_room_event(&mut self.room) => self.on_room_event(event),
                event = next_model_event(&mut self.model) => {
                    self.write(&event);
                    Some(Input::Model(event))
                }
                Some(event) = self.speaker.next() => Some(match event {
                    SpeakerEvent::FirstSound => Input::FirstSound,
                    SpeakerEvent::Drained => Input::PlayoutDrained,
                }),
                frame = next_frame(&mut self.caller_audio) => {
                    self.on_caller_frame(frame);
                    None
                }
                () = stop.cancelled(), if !stopped => {
                    stopped = true;
                    Some(Input::Stop)
                }
                () = hang_up.cancelled(), if !hung_up => {
                    hung_up = true;
                    Some(Input::HangUp)
                }
                () = sleep_until(deadline) => Some(Input::Tick),
            };
            if let Some(input) = input {
                self.machine.handle(Instant::now(), input);
                self.perform_effects();
                self.entered.progress(self.machine.progress());
            }
        }
        self.leave().await;
        self.record()
    }

    fn on_done(&mut self, done: Done) -> Option<Input> {
        match done {
            Done::Input(input) => Some(input),
            Done::Published(track) => {
                self.transcripts.agent_track(track);
                Some(Input::Published)
            }
            Done::Written => {
                self.transcripts.written();
                None
            }
            Done::Joined(room, events) => {
                self.room = Some((*room, events));
                Some(Input::Joined)
            }
            Done::Model { generation, .. } if generation != self.model_generation => None,
            Done::Model {
                result: Ok(session),
                ..
            } => {
                self.model = Some(*session);
                Some(Input::ModelConnected)
            }
            Done::Model {
                result: Err(input), ..
            } => Some(input),
        }
    }

    fn on_room_event(&mut self, event: Option<RoomEvent>) -> Option<Input> {
        let Some(event) = event else {
            // The SDK closed its side of the channel: the connection is gone.
            self.room = None;
            return Some(Input::RoomLost("the room's events ended".to_owned()));
        };
        match self.reader.read(event)? {
            Reading::Input(Input::Caller(sip)) if self.sip.is_some() => {
                tracing::debug!("the phone side is in the room again");
                Some(Input::Caller(sip))
            }
            Reading::Input(Input::Caller(sip)) => {
                tracing::info!(
                    caller = sip.caller.as_ref().map(tracing::field::display),
                    called = sip.called.as_ref().map(tracing::field::display),
                    trunk = sip.trunk_id.as_deref(),
                    sip_call = sip.sip_call_id.as_deref(),
                    "the phone side is in the room",
                );
                self.sip = Some((*sip).clone());
                self.entered.seen(&sip);
                Some(Input::Caller(sip))
            }
            Reading::Input(input) => Some(input),
            Reading::CallerAudio { stream, track } => {
                self.caller_audio = Some(stream);
                self.transcripts.caller_track(track);
                None
            }
        }
    }

    fn on_caller_frame(&mut self, samples: Option<Vec<i16>>) {
        let Some(samples) = samples else {
            self.caller_audio = None;
            return;
        };
        match self.machine.ear() {
            Ear::Closed => self.held.clear(),
            Ear::Holding => self.held.push(samples),
            Ear::Open => {
                for held in self.held.take() {
                    self.tell_model(Command::AppendAudio(held));
                }
                self.tell_model(Command::AppendAudio(samples));
            }
        }
    }

    /// Lets the room read what is said.
    fn write(&mut self, event: &trunkline_realtime::Event) {
        let Some((room, _)) = &self.room else { return };
        if let Some(writing) = self.transcripts.read(event, &room.local_participant()) {
            self.pending.push(writing.map(|()| Done::Written).boxed());
        }
    }

    fn perform_effects(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Report(status) => self.jobs.report(&self.assignment.job_id, status),
            Effect::Lookup { sip, deadline } => self.look_up(&sip, deadline),
            Effect::ConnectModel {
                provider,
                model,
                pause,
            } => self.connect_model(provider, model, pause),
            Effect::ToModel(command) => self.tell_model(command),
            Effect::DropModel => self.drop_model(),
            Effect::Publish => self.publish(),
            Effect::OpenPlayout => self.speaker.open(),
            Effect::Play { item, pcm } => self.speaker.play(&Voice::Model(item), &pcm),
            Effect::ItemComplete(item) => self.speaker.complete(&Voice::Model(item)),
            Effect::Interrupt => {
                let cuts = self.speaker.cut();
                self.machine.handle(Instant::now(), Input::Cut(cuts));
            }
            Effect::Resume => self.speaker.resume(),
            Effect::PlayApology { language } => self.apologise(language.as_deref()),
            Effect::PlayRecording(pcm) => self.play_recording(&pcm),
            Effect::FetchRecording { url, deadline } => self.fetch_recording(url, deadline),
            Effect::Transfer { identity, to } => self.transfer(identity, to),
            Effect::RemoveCaller { identity } => self.remove_caller(identity),
            // The loop ends, and `leave` follows.
            Effect::Leave => {}
        }
    }

    fn look_up(&mut self, sip: &SipParticipant, deadline: Instant) {
        let (call_id, room) = (self.assignment.call_id, &self.assignment.room);
        let request = CallConfigRequest::new(&self.tenant, call_id, room, sip);
        let (services, tenant) = (self.services.clone(), self.tenant.clone());
        self.pending.push(
            async move {
                let resolved = services.lookup.resolve(&tenant, &request, deadline).await;
                Done::Input(Input::Configured(Box::new(resolved)))
            }
            .boxed(),
        );
    }

    /// With the tenant's own words, where it has any that can be played.
    fn apologise(&self, language: Option<&str>) {
        let own = self.tenant.fallback.apology.as_ref();
        let own = own.and_then(|file| {
            recording::read_apology(file.as_bytes())
                .inspect_err(
                    |problem| tracing::warn!(%problem, "the tenant's apology is not played"),
                )
                .ok()
        });
        self.play_recording(&own.unwrap_or_else(|| apology::in_language(language)));
    }

    fn play_recording(&self, pcm: &[i16]) {
        self.speaker.play(&Voice::Recording, pcm);
        self.speaker.complete(&Voice::Recording);
    }

    fn fetch_recording(&mut self, url: Url, deadline: Instant) {
        let (services, reach) = (self.services.clone(), self.tenant.recordings);
        self.pending.push(
            async move {
                let limit = recording::MAX_BYTES;
                let fetched = services.lookup.fetch(url, reach, limit, deadline);
                let recording = match fetched.await {
                    Ok(file) => recording::read(&file).map_err(|problem| problem.to_string()),
                    Err(reason) => Err(reason.to_string()),
                };
                Done::Input(Input::Recording(recording))
            }
            .boxed(),
        );
    }

    fn transfer(&mut self, identity: String, to: TransferTarget) {
        let (services, tenant) = (self.services.clone(), self.tenant.clone());
        let room = self.assignment.room.clone();
        self.pending.push(
            async move {
                let transfer = services.rooms.transfer(&tenant, room, identity, &to);
                let result = transfer.await.map_err(|error| chain(&error));
                Done::Input(Input::Transferred(result))
            }
            .boxed(),
        );
    }

    fn connect_model(&mut self, provider: Provider, model: String, pause: Duration) {
        self.drop_model();
        let generation = self.model_generation;
        let second = self.tenant.fallback.second_model.as_ref();
        let settings = match (provider, second) {
            (Provider::Second, Some(second)) => &second.provider,
            _ => &self.tenant.provider,
        };
        let endpoint = self.services.endpoint(settings);
        let services = self.services.clone();
        let attempt = async move {
            let Some(endpoint) = endpoint else {
                return Err(Input::ModelUnreachable {
                    reason: "there is no key for the model's provider: set the tenant's \
                             provider_api_key (or fallback_provider_api_key, for the second \
                             model) or the process's provider.api_key"
                        .to_owned(),
                    retry: Retry::Useless,
                });
            };
            tokio::time::sleep(pause).await;
            services
                .models
                .connect(&endpoint, &model)
                .await
                .map(Box::new)
                .map_err(|error| Input::ModelUnreachable {
                    retry: match error.recovery() {
                        Recovery::Reconnect | Recovery::Later => Retry::Useful,
                        Recovery::Person => Retry::Useless,
                    },
                    reason: chain(&error),
                })
        };
        self.pending.push(
            async move {
                Done::Model {
                    generation,
                    result: attempt.await,
                }
            }
            .boxed(),
        );
    }

    fn tell_model(&self, command: Command) {
        // A session that takes no commands is over, and says so with its last event.
        if let Some(Err(error)) = self.model.as_ref().map(|model| model.send(command)) {
            tracing::debug!(%error, "the model was not told");
        }
    }

    fn drop_model(&mut self) {
        self.model = None;
        self.model_generation += 1;
    }

    fn publish(&mut self) {
        let Some((room, _)) = &self.room else {
            self.pending.push(
                async { Done::Input(Input::PublishFailed("the room was not joined".to_owned())) }
                    .boxed(),
            );
            return;
        };
        let participant = room.local_participant();
        let source = RtcAudioSource::Native(self.speaker.source());
        self.pending.push(
            async move {
                let track = LocalAudioTrack::create_audio_track("agent", source);
                let options = TrackPublishOptions {
                    source: TrackSource::Microphone,
                    ..Default::default()
                };
                Done::Input(
                    match participant
                        .publish_track(LocalTrack::Audio(track), options)
                        .await
                    {
                        Ok(publication) => return Done::Published(publication.sid()),
                        Err(error) => Input::PublishFailed(chain(&error)),
                    },
                )
            }
            .boxed(),
        );
    }

    fn remove_caller(&mut self, identity: String) {
        let client = self.services.rooms.of(&self.tenant);
        let room = self.assignment.room.clone();
        self.pending.push(
            async move {
                if let Err(error) = client.remove_participant(&room, &identity).await {
                    tracing::debug!(error = %chain(&error), "the phone side was not removed");
                }
                Done::Input(Input::CallerRemoved)
            }
            .boxed(),
        );
    }

    /// Leaves the room and deletes it: whoever is still in it hears nothing more.
    async fn leave(&mut self) {
        self.caller_audio = None;
        if let Some((room, mut events)) = self.room.take() {
            let api = self.services.rooms.of(&self.tenant);
            empty(&room, &mut events, &api).await;
            match tokio::time::timeout(CLOSE_TIMEOUT, room.close()).await {
                Ok(Ok(()) | Err(RoomError::AlreadyClosed)) => {}
                Ok(Err(error)) => tracing::debug!(error = %chain(&error), "closing the room"),
                Err(_) => tracing::warn!("the room did not close in {CLOSE_TIMEOUT:?}"),
            }
        }
        self.services
            .rooms
            .delete_room(&self.tenant, &self.assignment.room)
            .await;
    }

    fn record(self) -> CallRecord {
        let summary = self.machine.summary();
        self.entered.ended(summary.outcome);
        let sip = self.sip;
        CallRecord {
            id: self.assignment.call_id,
            tenant_id: self.tenant.id,
            job_id: self.assignment.job_id,
            room: self.assignment.room,
            sip_call_id: sip.as_ref().and_then(|sip| sip.sip_call_id.clone()),
            trunk_id: sip.as_ref().and_then(|sip| sip.trunk_id.clone()),
            direction: sip.as_ref().map(|sip| sip.direction),
            caller: sip.as_ref().and_then(|sip| sip.caller.clone()),
            called: sip.and_then(|sip| sip.called),
            config_source: summary.config_source,
            fallback_reason: summary.fallback_reason,
            model: Some(summary.model),
            outcome: summary.outcome,
            detail: summary.detail,
            started_at: self.started_at,
            times: summary.times,
        }
    }
}

fn join(assignment: &Assignment) -> BoxFuture<'static, Done> {
    let url = assignment.url.to_string();
    let token = assignment.token.clone();
    async move {
        let mut options = RoomOptions::default();
        options.connect_timeout = JOIN_TIMEOUT;
        options.join_retries = JOIN_RETRIES;
        match Room::connect(&url, token.expose_secret(), options).await {
            Ok((room, events)) => Done::Joined(Box::new(room), events),
            Err(error) => {
                let problem = NotJoined::new(&error);
                Done::Input(Input::JoinFailed(problem.to_string()))
            }
        }
    }
    .boxed()
}

/// Sees to it that nobody is in the room any more when we leave it: the SDK keeps the memory of a
/// room for ever that is left with others in it (docs/engine.md, "The end of a call"). They hang
/// up with the room, which is deleted in any case.
async fn empty(room: &Room, events: &mut UnboundedReceiver<RoomEvent>, api: &RoomClient) {
    let is_over = || {
        room.remote_participants().is_empty()
            || room.connection_state() == ConnectionState::Disconnected
    };
    if is_over() {
        return;
    }
    let emptying = async {
        match api.delete_room(&room.name()).await {
            Ok(()) => while !is_over() && events.recv().await.is_some() {},
            Err(error) => tracing::debug!(error = %chain(&error), "others stay in the room"),
        }
    };
    if tokio::time::timeout(EMPTYING_TIMEOUT, emptying)
        .await
        .is_err()
    {
        tracing::debug!("others stay in the room after {EMPTYING_TIMEOUT:?}");
    }
}

async fn next_room_event(
    room: &mut Option<(Room, UnboundedReceiver<RoomEvent>)>,
) -> Option<RoomEvent> {
    match room {
        Some((_, events)) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_model_event(model: &mut Option<Session>) -> trunkline_realtime::Event {
    match model {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

async fn next_frame(stream: &mut Option<NativeAudioStream>) -> Option<Vec<i16>> {
    match stream {
        Some(stream) => stream.next().await.map(|frame| frame.data.into_owned()),
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
