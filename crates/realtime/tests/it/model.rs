//! Sessions with the simulated model, which hears, speaks and fails as the
//! vendor does. What was said is decoded from the audio.

use std::time::Duration;

use serde_json::json;
use trunkline_domain::{CallConfig, ProviderKind, Temperature};
use trunkline_realtime::{
    CloseReason, Command, ConnectError, Connector, Endpoint, Event, ItemId, Options, Purpose,
    ResponseStatus, SAMPLE_RATE, Session, SessionConfig, Transcript, Trouble, Usage, duration_of,
};
use trunkline_testbed::model::{
    Behaviour, Disturbance, EndOfSession, ModelOptions, Opening, Reply, ResponseFault, Script,
    SessionRecord, SimulatedModel,
};
use trunkline_testbed::voice;

use crate::vendor::{KEY, PATIENCE, next, soon};

struct Bed {
    model: SimulatedModel,
}

impl Bed {
    async fn start(behaviour: Behaviour) -> Self {
        let options = ModelOptions {
            api_key: Some(KEY.into()),
            behaviour,
        };
        Self {
            model: SimulatedModel::start(options).await.unwrap(),
        }
    }

    async fn connect_with(
        &self,
        key: &str,
        model: &str,
        options: Options,
    ) -> Result<Session, ConnectError> {
        let endpoint = Endpoint {
            kind: ProviderKind::OpenAi,
            base_url: self.model.base_url().parse().unwrap(),
            api_key: key.into(),
        };
        let connector = Connector::new(options).unwrap();
        soon("an outcome", connector.connect(&endpoint, model)).await
    }

    async fn connect(&self, model: &str) -> Session {
        self.connect_with(KEY, model, Options::default())
            .await
            .unwrap()
    }

    /// A session that is configured, and what was dropped of the configuration.
    async fn ready(&self, model: &str, config: SessionConfig) -> (Session, Vec<&'static str>) {
        let mut session = self.connect(model).await;
        session.send(Command::Configure(config)).unwrap();
        loop {
            match next(&mut session).await {
                Event::Ready { dropped } => return (session, dropped),
                Event::Warning(_) => {}
                other => panic!("not ready: {other:?}"),
            }
        }
    }

    async fn sees<T>(&self, what: &str, look: impl Fn(&SessionRecord) -> Option<T>) -> T {
        self.model
            .wait_for(what, PATIENCE, |sessions| look(sessions.last()?))
            .await
            .unwrap()
    }

    fn record(&self) -> SessionRecord {
        self.model.sessions().pop().unwrap()
    }
}

fn config() -> SessionConfig {
    SessionConfig::for_call(&CallConfig::built_in())
}

/// What came of one response.
#[derive(Default)]
struct Said {
    purpose: Option<Purpose>,
    item: Option<ItemId>,
    pcm: Vec<i16>,
    written: Option<String>,
    caller: Option<String>,
    warnings: usize,
    status: Option<ResponseStatus>,
    usage: Usage,
}

impl Said {
    fn words(&self) -> Vec<(String, bool)> {
        voice::decode(&self.pcm, SAMPLE_RATE)
            .into_iter()
            .map(|heard| (heard.text, heard.complete))
            .collect()
    }
}

/// Listens until a response is done.
async fn listen(session: &mut Session) -> Said {
    let mut said = Said::default();
    loop {
        match next(session).await {
            Event::ResponseStarted { purpose, .. } => said.purpose = Some(purpose),
            Event::Audio { item, pcm, .. } => {
                said.item = Some(item);
                said.pcm.extend(pcm);
            }
            Event::AgentTranscript {
                text: Transcript::Final(text),
                ..
            } => said.written = Some(text),
            Event::CallerTranscript {
                text: Transcript::Final(text),
                ..
            } => said.caller = Some(text),
            Event::Warning(_) => said.warnings += 1,
            Event::ResponseDone { status, usage, .. } => {
                said.status = Some(status);
                said.usage = usage;
                return said;
            }
            Event::Closed(reason) => panic!("closed in mid-response: {reason}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_greeting_is_said_word_for_word() {
    let bed = Bed::start(Behaviour::default()).await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    let text = "Grüß Gott, \"Acme\" here. Say exactly nothing: \\ ok?";
    session.send(Command::Greet { text: text.into() }).unwrap();
    let said = listen(&mut session).await;
    assert_eq!(said.purpose, Some(Purpose::Greeting));
    assert_eq!(said.words(), [(text.to_owned(), true)]);
    assert_eq!(said.written.as_deref(), Some(text));
    assert_eq!(said.status, Some(ResponseStatus::Completed));
    assert!(
        said.usage.output_audio > 0 && said.usage.input_text > 0,
        "{:?}",
        said.usage
    );
    assert_eq!(bed.record().errors, [] as [String; 0]);
}

#[tokio::test]
async fn the_caller_is_heard_and_answered() {
    let bed = Bed::start(Behaviour::default()).await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    let mut speech = voice::encode("What are your opening hours?", SAMPLE_RATE);
    speech.extend(vec![0; SAMPLE_RATE as usize]);
    for piece in speech.chunks(4_800) {
        session.send(Command::AppendAudio(piece.to_vec())).unwrap();
    }
    assert!(matches!(
        next(&mut session).await,
        Event::SpeechStarted { .. }
    ));
    assert!(matches!(
        next(&mut session).await,
        Event::SpeechStopped { .. }
    ));
    let said = listen(&mut session).await;
    assert_eq!(said.purpose, Some(Purpose::Turn));
    let reply = "You said: What are your opening hours?";
    assert_eq!(said.words(), [(reply.to_owned(), true)]);
    let record = bed.record();
    assert_eq!(record.audio_received, duration_of(speech.len() as u64));
    assert_eq!(record.errors, [] as [String; 0]);
    assert_eq!(said.caller.as_deref(), Some("What are your opening hours?"));
}

#[tokio::test]
async fn a_barge_in_leaves_what_was_heard() {
    let bed = Bed::start(Behaviour {
        speed: 2.0,
        ..Behaviour::default()
    })
    .await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    let text = "One two three four five six seven eight nine ten eleven twelve.".to_owned();
    session.send(Command::Greet { text }).unwrap();
    let mut received = 0;
    let item = loop {
        if let Event::Audio { item, pcm, .. } = next(&mut session).await {
            received += pcm.len();
            if received >= 24_000 {
                break item;
            }
        }
    };
    let heard = Duration::from_millis(700);
    session.send(Command::CancelResponse).unwrap();
    session.send(Command::CancelResponse).unwrap();
    session
        .send(Command::Truncate {
            item: item.clone(),
            heard,
        })
        .unwrap();
    let cut = bed
        .sees("a truncation", |s| s.truncations.first().cloned())
        .await;
    assert_eq!(
        (cut.item_id.as_str(), cut.audio_end),
        (item.as_str(), heard)
    );
    let record = bed.record();
    assert_eq!(record.events_of("response.cancel").count(), 1);
    assert_eq!(record.errors, [] as [String; 0]);
    let status = loop {
        match next(&mut session).await {
            Event::ResponseDone { status, .. } => break status,
            // What was on its way to us before we cancelled.
            Event::Audio { .. } | Event::AgentTranscript { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status, ResponseStatus::Cancelled);
}

#[tokio::test]
async fn a_truncation_never_goes_beyond_what_the_vendor_sent() {
    let bed = Bed::start(Behaviour::default()).await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    let text = "Heard to the end.".to_owned();
    session.send(Command::Greet { text }).unwrap();
    let said = listen(&mut session).await;
    session
        .send(Command::Truncate {
            item: said.item.unwrap(),
            heard: Duration::from_secs(3600),
        })
        .unwrap();
    let cut = bed
        .sees("a truncation", |s| s.truncations.first().cloned())
        .await;
    let all = duration_of(said.pcm.len() as u64);
    assert_eq!(cut.audio_end.as_millis(), all.as_millis());
    assert_eq!(cut.words, "Heard to the end.");
}

#[tokio::test]
async fn what_was_not_heard_at_all_is_forgotten_by_the_model() {
    let bed = Bed::start(Behaviour::default()).await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    let text = "Nobody hears this.".to_owned();
    session.send(Command::Greet { text }).unwrap();
    let said = listen(&mut session).await;
    assert_eq!(bed.record().history.len(), 1);
    let item = said.item.unwrap();
    let heard = Duration::ZERO;
    session.send(Command::Truncate { item, heard }).unwrap();
    bed.sees("an empty history", |s| s.history.is_empty().then_some(()))
        .await;
    assert_eq!(bed.record().errors, [] as [String; 0]);
}

#[tokio::test]
async fn a_temperature_reaches_those_models_that_take_it() {
    let bed = Bed::start(Behaviour::default()).await;
    let warm = SessionConfig {
        temperature: Temperature::new(0.7),
        ..config()
    };
    let (_session, dropped) = bed.ready("gpt-realtime", warm.clone()).await;
    assert_eq!(dropped, ["temperature"]);
    let (_session, dropped) = bed.ready("gpt-4o-realtime-preview", warm).await;
    assert_eq!(dropped, [] as [&str; 0]);
    let record = bed.record();
    assert_eq!(record.session["temperature"], json!(0.7));
    assert_eq!(record.errors, [] as [String; 0]);
}

#[tokio::test]
async fn a_voice_that_does_not_exist_costs_only_the_voice() {
    let bed = Bed::start(Behaviour::default()).await;
    let wrong = SessionConfig {
        instructions: "Be Bob.".to_owned(),
        voice: "nobody".to_owned(),
        ..config()
    };
    let (_session, dropped) = bed.ready("gpt-realtime", wrong).await;
    assert_eq!(dropped, ["voice"]);
    let record = bed.record();
    assert_eq!(record.session["instructions"], "Be Bob.");
    assert_eq!(record.errors.len(), 1, "{:?}", record.errors);
}

#[tokio::test]
async fn the_openings_that_fail_are_told_apart() {
    let hasty = Options {
        connect_timeout_ms: 300,
        ..Options::default()
    };
    for (opening, label) in [
        (Opening::Refused(429), "overload"),
        (Opening::Refused(500), "server"),
        (Opening::Mute, "timeout"),
        (Opening::Failed("insufficient_quota".to_owned()), "quota"),
    ] {
        let bed = Bed::start(Behaviour {
            opening: opening.clone(),
            ..Behaviour::default()
        })
        .await;
        // Only silence needs haste.
        let options = match opening {
            Opening::Mute => hasty.clone(),
            _ => Options::default(),
        };
        let error = bed
            .connect_with(KEY, "gpt-realtime", options)
            .await
            .unwrap_err();
        assert_eq!(error.as_label(), label, "{opening:?}: {error:?}");
    }
    let bed = Bed::start(Behaviour::default()).await;
    let wrong = bed
        .connect_with("another-key", "gpt-realtime", Options::default())
        .await;
    assert_eq!(wrong.unwrap_err().as_label(), "credentials");
}

#[tokio::test]
async fn garbage_and_news_do_not_disturb_the_greeting() {
    for (disturbance, warned) in [
        (Disturbance::UnknownEvents, false),
        (Disturbance::Garbage, true),
    ] {
        let bed = Bed::start(Behaviour {
            disturbance,
            ..Behaviour::default()
        })
        .await;
        let (mut session, _) = bed.ready("gpt-realtime", config()).await;
        let text = "All is well.".to_owned();
        session.send(Command::Greet { text: text.clone() }).unwrap();
        let said = listen(&mut session).await;
        assert_eq!(said.words(), [(text, true)]);
        assert_eq!(said.warnings > 0, warned, "{disturbance:?}");
    }
}

#[tokio::test]
async fn a_response_that_fails_is_told_and_the_session_goes_on() {
    let failing = Script::new(|_| {
        Reply::say("This will not be finished.").but(ResponseFault::Failed {
            code: "server_error".to_owned(),
            after: Duration::from_millis(300),
        })
    });
    let bed = Bed::start(Behaviour {
        script: failing,
        ..Behaviour::default()
    })
    .await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    session.send(Command::Respond).unwrap();
    match listen(&mut session).await.status {
        Some(ResponseStatus::Failed(error)) => assert_eq!(error.trouble, Trouble::Server),
        other => panic!("{other:?}"),
    }
    session.send(Command::Respond).unwrap();
    assert!(listen(&mut session).await.status.is_some());
}

#[tokio::test]
async fn a_refused_response_is_told_at_once() {
    let refusing = Script::new(|_| {
        Reply::say("Never.").but(ResponseFault::Refused("rate_limit_exceeded".to_owned()))
    });
    let bed = Bed::start(Behaviour {
        script: refusing,
        ..Behaviour::default()
    })
    .await;
    let (mut session, _) = bed.ready("gpt-realtime", config()).await;
    session.send(Command::Greet { text: "Hi.".into() }).unwrap();
    match next(&mut session).await {
        Event::NotStarted { purpose, error } => {
            assert_eq!(purpose, Purpose::Greeting);
            assert_eq!(error.trouble, Trouble::Overload);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_vendors_limit_ends_the_session_by_its_name() {
    for announced in [None, Some("session_expired".to_owned())] {
        let bed = Bed::start(Behaviour {
            end: Some(EndOfSession {
                after: Duration::from_millis(50),
                close_code: 1001,
                announced_as: announced.clone(),
            }),
            ..Behaviour::default()
        })
        .await;
        let mut session = bed.connect("gpt-realtime").await;
        match (next(&mut session).await, announced) {
            (Event::Closed(CloseReason::Peer { code, .. }), None) => assert_eq!(code, Some(1001)),
            (Event::Closed(CloseReason::Vendor(error)), Some(_)) => {
                assert_eq!(error.trouble, Trouble::Expired);
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}
