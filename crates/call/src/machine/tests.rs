//! The course of a call, as sentences; then every course at once.

mod actions;
mod conversation;
mod recovery;

use proptest::prelude::*;
use trunkline_callconfig::{FallbackReason, Resolved};
use trunkline_domain::{
    CallAction, CallStatus, ConversationLimits, FirstSpeaker, ProviderKind, ProviderSettings,
    TenantFields, TenantId,
};
use trunkline_realtime::{
    CloseReason, Command, Event, Line, Purpose, ResponseStatus, Role, Transcript, Trouble, Usage,
    VendorError,
};

use super::*;
use crate::playout::Cut;

/// How long these callers may be silent, unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(300);

fn boxed_sip(status: CallStatus) -> Box<SipParticipant> {
    Box::new(sip(status))
}

fn tenant() -> Tenant {
    Tenant::try_from(TenantFields {
        default_config: r#"{"startMessage": "Default."}"#.into(),
        ..TenantFields::new(
            TenantId(uuid::Uuid::nil()),
            "acme",
            "ws://localhost:7880",
            "key",
            "secret".into(),
        )
    })
    .unwrap()
}

/// One that lets a call last a minute.
fn brief_tenant() -> Tenant {
    let mut tenant = tenant();
    tenant.limits.max_call_duration = Some(Duration::from_secs(60));
    tenant
}

fn sip(status: CallStatus) -> SipParticipant {
    let mut sip = SipParticipant::from_attributes("sip_1", [("sip.ruleID", "SDR_1")]);
    sip.status = status;
    sip
}

/// One with a second model.
fn tenant_with_two_models() -> Tenant {
    let mut tenant = tenant();
    tenant.fallback.second_model = Some(SecondModel {
        provider: ProviderSettings {
            kind: ProviderKind::OpenAi,
            base_url: None,
            api_key: None,
        },
        model: "second".into(),
        voice: "other".into(),
    });
    tenant
}

fn config(start_message: &str, model: &str) -> CallConfig {
    let mut config = tenant().default_config;
    config.start_message = start_message.into();
    config.model = model.into();
    config.limits.silence = PATIENCE;
    config
}

fn fresh(config: CallConfig) -> Input {
    Input::Configured(Box::new(Resolved {
        config,
        source: ConfigSource::Fresh,
        reason: None,
        took: Duration::from_millis(5),
    }))
}

fn configured(start_message: &str, model: &str) -> Input {
    fresh(config(start_message, model))
}

fn audio(response: &str) -> Event {
    Event::Audio {
        response: ResponseId::from(response),
        item: ItemId::from("item"),
        pcm: vec![1; 240],
    }
}

fn audio_of(response: &str, item: &str) -> Event {
    Event::Audio {
        response: ResponseId::from(response),
        item: ItemId::from(item),
        pcm: vec![1; 240],
    }
}

/// The agent's words, in writing.
fn agent_said(item: &str, text: &str) -> Event {
    Event::AgentTranscript {
        item: ItemId::from(item),
        text: Transcript::Final(text.into()),
    }
}

fn done(response: &str, status: ResponseStatus) -> Event {
    Event::ResponseDone {
        id: ResponseId::from(response),
        status,
        usage: Usage::default(),
    }
}

fn speech_started() -> Event {
    Event::SpeechStarted { at: Duration::ZERO }
}

fn speech_stopped() -> Event {
    Event::SpeechStopped { at: Duration::ZERO }
}

/// The caller's words, in writing.
fn said(text: &str) -> Event {
    Event::CallerTranscript {
        item: ItemId::from("caller's"),
        text: Transcript::Final(text.into()),
    }
}

fn refusal() -> VendorError {
    VendorError {
        trouble: Trouble::Other,
        code: "no".into(),
        param: String::new(),
        message: "not now".into(),
    }
}

fn line(line: &Line) -> String {
    let role = match line.role {
        Role::Caller => "caller",
        Role::Agent => "agent",
        Role::System => return "system".into(),
    };
    format!("{role}: {}", line.text)
}

/// A call, with the names of the effects that each step had.
struct Call {
    machine: CallMachine,
    now: Instant,
    played: Vec<String>,
}

impl Call {
    fn new() -> Self {
        Self::of(&tenant())
    }

    fn of(tenant: &Tenant) -> Self {
        let now = Instant::now();
        let mut call = Self {
            machine: CallMachine::new(now, tenant),
            now,
            played: vec![],
        };
        assert_eq!(call.effects(), ["report Running", "connect gpt-realtime"]);
        call
    }

    fn ringing() -> Self {
        Self::new().rings()
    }

    fn rings(self) -> Self {
        let mut call = self;
        call.step(Input::Joined);
        call.step(Input::Caller(boxed_sip(CallStatus::Ringing)));
        call
    }

    fn talking() -> Self {
        Self::new().talks()
    }

    fn talks(self) -> Self {
        let mut call = self.rings();
        call.step(Input::ModelConnected);
        call.step(configured("Hello.", "gpt-realtime"));
        call.step(Input::Model(Event::Ready { dropped: vec![] }));
        call.step(Input::Model(audio("greeting")));
        call.step(Input::Published);
        call.step(Input::Status(CallStatus::Active));
        assert_eq!(call.machine.ear(), Ear::Open);
        call
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        self.machine.handle(self.now, input);
        self.effects()
    }

    fn model(&mut self, event: Event) -> Vec<String> {
        self.step(Input::Model(event))
    }

    /// Lets the next deadline come.
    fn wait(&mut self) -> Vec<String> {
        self.now = self.machine.deadline().expect("something is awaited");
        self.step(Input::Tick)
    }

    fn effects(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(effect) = self.machine.next_effect() {
            names.push(match effect {
                Effect::Report(status) => format!("report {status:?}"),
                Effect::Lookup { .. } => "lookup".into(),
                Effect::ConnectModel { model, .. } => format!("connect {model}"),
                Effect::ToModel(Command::Remember(lines)) => {
                    let lines: Vec<_> = lines.iter().map(line).collect();
                    format!("remember {}", lines.join(" | "))
                }
                Effect::ToModel(Command::Prompt { .. }) => "prompt".into(),
                Effect::ToModel(Command::Configure(_)) => "configure".into(),
                Effect::ToModel(Command::Greet { text }) => format!("greet {text}"),
                Effect::ToModel(Command::Truncate { heard, .. }) => {
                    format!("truncate {}", heard.as_millis())
                }
                Effect::ToModel(other) => format!("{other:?}"),
                Effect::DropModel => "drop model".into(),
                Effect::Publish => "publish".into(),
                Effect::OpenPlayout => "open".into(),
                Effect::Play { item, .. } => {
                    self.played.push(item.to_string());
                    "play".into()
                }
                Effect::ItemComplete(_) => "complete".into(),
                Effect::Interrupt => "interrupt".into(),
                Effect::Resume => "resume".into(),
                Effect::PlayApology { language: None } => "apology".into(),
                Effect::PlayApology {
                    language: Some(language),
                } => format!("apology in {language}"),
                Effect::PlayRecording(_) => "play recording".into(),
                Effect::FetchRecording { url, .. } => format!("fetch {url}"),
                Effect::Transfer { to, .. } => format!("transfer {}", to.as_str()),
                Effect::RemoveCaller { .. } => "bye".into(),
                Effect::Leave => "leave".into(),
            });
        }
        names
    }

    fn outcome(self) -> CallOutcome {
        self.machine.summary().outcome
    }
}

#[test]
fn the_phone_is_answered_when_the_greeting_begins_to_arrive() {
    let mut call = Call::new();
    assert!(call.step(Input::Joined).is_empty());
    assert_eq!(
        call.step(Input::Caller(boxed_sip(CallStatus::Ringing))),
        ["lookup"]
    );
    assert!(call.step(Input::ModelConnected).is_empty());
    assert_eq!(call.step(configured("Hi.", "gpt-realtime")), ["configure"]);
    assert_eq!(call.model(Event::Ready { dropped: vec![] }), ["greet Hi."]);
    assert_eq!(call.model(audio("r")), ["play", "publish"]);
    assert_eq!(call.model(audio("r")), ["play"]);
    assert!(
        call.step(Input::Published).is_empty(),
        "nothing sounds before active"
    );
    assert_eq!(call.step(Input::Status(CallStatus::Active)), ["open"]);
}

#[test]
fn another_model_than_the_default_gets_a_socket_of_its_own() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    assert_eq!(call.step(configured("Hi.", "other")), ["connect other"]);
    assert_eq!(call.step(Input::ModelConnected), ["configure"]);
}

#[test]
fn with_no_start_message_the_phone_is_answered_and_the_caller_speaks_first() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    call.step(configured("", "gpt-realtime"));
    assert_eq!(call.model(Event::Ready { dropped: vec![] }), ["publish"]);
    call.step(Input::Published);
    call.step(Input::Status(CallStatus::Active));
    assert_eq!(
        call.machine.deadline(),
        Some(call.now + PATIENCE),
        "nobody owes anybody a word"
    );
}

#[test]
fn active_before_our_track_is_there_opens_the_playout_with_the_track() {
    let mut call = Call::ringing();
    call.step(Input::Status(CallStatus::Active));
    call.step(Input::ModelConnected);
    call.step(configured("Hi.", "gpt-realtime"));
    call.model(Event::Ready { dropped: vec![] });
    call.model(audio("r"));
    assert_eq!(call.step(Input::Published), ["open"]);
}

#[test]
fn a_bridge_that_never_says_active_is_spoken_to_all_the_same() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    call.step(configured("Hi.", "gpt-realtime"));
    call.model(Event::Ready { dropped: vec![] });
    call.model(audio("r"));
    call.step(Input::Published);
    assert_eq!(call.wait(), ["open"]);
}

#[test]
fn speech_breaks_in_truncates_at_what_was_heard_and_mutes_the_rest() {
    let mut call = Call::talking();
    assert_eq!(call.model(speech_started()), ["interrupt"]);
    let cut = Cut {
        item: ItemId::from("item"),
        heard: Duration::from_millis(120),
    };
    assert_eq!(call.step(Input::Cut(vec![cut])), ["truncate 120"]);
    assert!(
        call.model(audio("greeting")).is_empty(),
        "late audio of the broken response"
    );
    call.model(done("greeting", ResponseStatus::Cancelled));
    call.model(speech_stopped());
    assert_eq!(call.model(audio("answer")), ["play"]);
}

#[test]
fn a_caller_who_gives_up_while_it_rings_ends_everything() {
    let mut call = Call::ringing();
    let ended = call.step(Input::CallerLeft);
    assert_eq!(ended, ["report Success", "drop model", "leave"]);
    assert_eq!(call.outcome(), CallOutcome::CallerGaveUp);
}

#[test]
fn a_hang_up_is_reported_before_we_leave_and_the_participant_is_awaited() {
    let mut call = Call::talking();
    let ended = call.step(Input::Status(CallStatus::Hangup));
    assert_eq!(ended, ["report Success", "drop model", "bye"]);
    assert_eq!(call.step(Input::CallerLeft), ["leave"]);
    assert_eq!(call.outcome(), CallOutcome::CallerHungUp);
}

#[test]
fn a_phone_side_that_does_not_go_does_not_hold_us() {
    let mut call = Call::talking();
    call.step(Input::Status(CallStatus::Hangup));
    assert_eq!(call.wait(), ["leave"]);
}

#[test]
fn told_to_stop_we_finish_the_sentence_and_send_the_caller_away() {
    let mut call = Call::talking();
    assert_eq!(call.step(Input::Stop), ["complete"]);
    assert_eq!(
        call.step(Input::PlayoutDrained),
        ["report Success", "drop model", "bye"]
    );
    assert_eq!(call.step(Input::CallerLeft), ["leave"]);
    assert_eq!(call.outcome(), CallOutcome::Cut);
}

#[test]
fn a_hang_up_by_an_operator_is_ordinary_and_has_an_outcome_of_its_own() {
    let mut call = Call::talking();
    assert_eq!(call.step(Input::HangUp), ["complete"]);
    assert_eq!(call.machine.progress().step, CallStep::Closing);
    assert_eq!(
        call.step(Input::PlayoutDrained),
        ["report Success", "drop model", "bye"]
    );
    assert_eq!(call.step(Input::CallerLeft), ["leave"]);
    assert_eq!(call.outcome(), CallOutcome::EndedByOperator);
}

#[test]
fn told_to_stop_while_it_rings_we_refuse_the_call() {
    let mut call = Call::ringing();
    assert_eq!(
        call.step(Input::Stop),
        ["report Success", "drop model", "bye"]
    );
}

#[test]
fn a_call_that_lasts_as_long_as_the_tenant_lets_one_ends_after_the_sentence() {
    let mut call = Call::of(&brief_tenant()).talks();
    let answered = call.now;
    // The model speaks for longer than the call may be.
    while call.now < answered + Duration::from_secs(60) {
        assert!(!call.machine.is_over());
        call.model(audio("greeting"));
        call.now += Duration::from_secs(2);
    }
    assert!(call.machine.deadline().unwrap() <= call.now);
    assert_eq!(
        call.step(Input::Tick),
        ["complete"],
        "what has come is heard"
    );
    assert_eq!(
        call.step(Input::PlayoutDrained),
        ["report Success", "drop model", "bye"]
    );
    assert_eq!(call.step(Input::CallerLeft), ["leave"]);
    assert_eq!(call.outcome(), CallOutcome::DurationLimit);
}

#[test]
fn a_call_at_its_limit_in_silence_ends_at_once_and_a_long_sentence_is_broken_off() {
    let mut silent = Call::of(&brief_tenant()).talks();
    silent.model(done("greeting", ResponseStatus::Completed));
    silent.step(Input::PlayoutDrained);
    assert_eq!(silent.wait(), ["report Success", "drop model", "bye"]);
    assert_eq!(silent.wait(), ["leave"]);
    assert_eq!(silent.outcome(), CallOutcome::DurationLimit);

    let mut endless = Call::of(&brief_tenant()).talks();
    endless.now += Duration::from_secs(60);
    assert_eq!(endless.step(Input::Tick), ["complete"]);
    let told = endless.now;
    assert_eq!(endless.wait(), ["report Success", "drop model", "bye"]);
    assert_eq!(endless.now - told, LAST_WORDS);
}

#[test]
fn the_time_that_the_phone_rings_does_not_count() {
    let mut call = Call::of(&brief_tenant()).rings();
    assert!(call.machine.deadline().unwrap() - call.now < Duration::from_secs(60));
    call.now += Duration::from_secs(5);
    let mut call = call.talks();
    call.model(done("greeting", ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
    assert_eq!(
        call.machine.deadline().unwrap() - call.now,
        Duration::from_secs(60)
    );
}

#[test]
fn a_model_that_cannot_be_reached_is_tried_again_then_the_caller_hears_the_apology() {
    let mut call = Call::ringing();
    let unreachable = || Input::ModelUnreachable {
        reason: "refused".into(),
        retry: Retry::Useful,
    };
    assert!(
        call.step(unreachable()).is_empty(),
        "the early socket is a head start only"
    );
    let configured = configured("Hi.", "gpt-realtime");
    assert_eq!(call.step(configured), ["connect gpt-realtime"]);
    assert_eq!(call.step(unreachable()), ["connect gpt-realtime"]);
    assert_eq!(call.step(unreachable()), ["connect gpt-realtime"]);
    assert_eq!(
        call.step(unreachable()),
        ["drop model", "interrupt", "apology", "publish"]
    );
    assert!(call.step(Input::Published).is_empty());
    assert_eq!(call.step(Input::Status(CallStatus::Active)), ["open"]);
    let ended = call.step(Input::PlayoutDrained);
    assert_eq!(
        ended,
        ["report Failed(\"model_failed\")", "drop model", "bye"]
    );
    assert_eq!(call.step(Input::CallerLeft), ["leave"]);
    assert_eq!(call.outcome(), CallOutcome::ModelFailed);
}

#[test]
fn a_refused_key_is_not_tried_again() {
    let mut call = Call::ringing();
    call.step(configured("Hi.", "gpt-realtime"));
    let refused = Input::ModelUnreachable {
        reason: "401".into(),
        retry: Retry::Useless,
    };
    assert!(call.step(refused).contains(&"apology".to_owned()));
}

#[test]
fn the_answer_deadline_ends_the_ringing_with_what_is_ready() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    call.step(configured("Hi.", "gpt-realtime"));
    call.model(Event::Ready { dropped: vec![] });
    assert_eq!(
        call.wait(),
        ["publish"],
        "the model is ready, its first sound is late"
    );

    let mut call = Call::ringing();
    assert_eq!(
        call.wait(),
        ["drop model", "interrupt", "apology", "publish"]
    );
}

#[test]
fn a_model_that_does_not_speak_when_it_is_its_turn_is_given_up() {
    let mut call = Call::talking();
    call.step(Input::PlayoutDrained);
    call.model(done("greeting", ResponseStatus::Completed));
    call.model(speech_started());
    call.model(speech_stopped());
    assert_eq!(call.wait(), ["drop model", "connect gpt-realtime"]);
    assert_eq!(call.wait(), ["drop model", "interrupt", "apology"]);
}

#[test]
fn a_model_that_stalls_in_mid_sentence_is_given_up() {
    let mut call = Call::talking();
    call.model(audio("greeting"));
    call.now += Duration::from_millis(20);
    assert_eq!(
        call.wait(),
        ["drop model", "complete", "connect gpt-realtime"]
    );

    let mut call = Call::talking();
    call.model(done("greeting", ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
    assert_eq!(
        call.machine.deadline(),
        Some(call.now + PATIENCE),
        "it is the caller's turn"
    );
}

#[test]
fn an_answer_without_a_sound_is_asked_for_again_and_then_the_model_is_given_up() {
    for status in [
        ResponseStatus::Completed,
        ResponseStatus::Incomplete {
            reason: "content_filter".into(),
        },
    ] {
        let mut call = Call::talking();
        call.model(done("greeting", ResponseStatus::Completed));
        call.model(speech_started());
        call.model(speech_stopped());
        assert_eq!(call.model(done("first", status.clone())), ["Respond"]);
        let awaited = call.machine.deadline();
        assert!(awaited.is_some_and(|awaited| awaited <= call.now + REPLY_WAIT));
        let lost = call.model(done("second", status));
        assert_eq!(lost, ["drop model", "connect gpt-realtime"]);
    }
}

#[test]
fn an_answer_without_a_sound_is_none_where_nobody_waits_for_it() {
    let mut call = Call::talking();
    call.model(done("greeting", ResponseStatus::Completed));
    assert!(
        call.model(done("other", ResponseStatus::Completed))
            .is_empty()
    );
    call.step(Input::PlayoutDrained);
    assert_eq!(call.machine.deadline(), Some(call.now + PATIENCE));
}

#[test]
fn a_refused_answer_is_not_awaited_as_long_as_one_that_may_come() {
    let mut call = Call::talking();
    call.model(done("greeting", ResponseStatus::Completed));
    call.model(speech_started());
    call.model(speech_stopped());
    call.model(Event::NotStarted {
        purpose: Purpose::Turn,
        error: refusal(),
    });
    assert_eq!(call.machine.deadline(), Some(call.now + STALL_WAIT));
    assert_eq!(call.wait(), ["drop model", "connect gpt-realtime"]);
}

#[test]
fn a_turn_that_never_ends_is_not_listened_to_for_ever() {
    let mut call = Call::talking();
    call.model(done("greeting", ResponseStatus::Completed));
    call.model(speech_started());
    assert_eq!(call.machine.deadline(), Some(call.now + TURN_WAIT));
    assert_eq!(call.wait(), ["drop model", "connect gpt-realtime"]);
}

#[test]
fn a_long_answer_that_came_at_once_is_no_stall_while_it_is_heard() {
    let mut call = Call::talking();
    let minute = vec![1; 60 * 24_000];
    call.model(Event::Audio {
        response: ResponseId::from("greeting"),
        item: ItemId::from("item"),
        pcm: minute,
    });
    let deadline = call.machine.deadline().expect("more is awaited");
    assert!(deadline >= call.now + Duration::from_secs(60) + STALL_WAIT);
}

#[test]
fn a_greeting_that_does_not_come_after_the_answer_is_not_awaited_for_long() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    call.step(configured("Hi.", "gpt-realtime"));
    call.model(Event::Ready { dropped: vec![] });
    assert_eq!(call.wait(), ["publish"]);
    call.step(Input::Published);
    call.step(Input::Status(CallStatus::Active));
    assert_eq!(call.machine.deadline(), Some(call.now + GREETING_WAIT));
    assert_eq!(call.wait(), ["drop model", "connect gpt-realtime"]);
    call.step(Input::ModelConnected);
    let greeted = call.model(Event::Ready { dropped: vec![] });
    assert_eq!(greeted, ["greet Hi."]);
}

#[test]
fn a_room_without_a_phone_side_is_left() {
    let mut call = Call::new();
    call.step(Input::Joined);
    assert_eq!(
        call.wait(),
        ["report Failed(\"no_caller\")", "drop model", "leave"]
    );
    assert_eq!(call.outcome(), CallOutcome::NoCaller);
}

#[test]
fn a_caller_out_of_sight_during_a_reconnection_has_not_hung_up() {
    let mut call = Call::talking();
    assert!(call.step(Input::CallerMissing).is_empty());
    assert!(
        call.step(Input::Caller(boxed_sip(CallStatus::Active)))
            .is_empty()
    );
    assert_eq!(call.machine.ear(), Ear::Open);

    call.step(Input::CallerMissing);
    call.model(done("greeting", ResponseStatus::Completed));
    assert_eq!(call.wait(), ["report Success", "drop model", "bye"]);
    assert_eq!(call.outcome(), CallOutcome::RoomClosed);
}

#[test]
fn a_caller_left_behind_in_a_room_that_we_lost_is_sent_away_through_the_api() {
    let mut call = Call::talking();
    let ended = call.step(Input::RoomLost("removed".into()));
    assert_eq!(ended, ["report Success", "drop model", "bye"]);
    assert_eq!(call.step(Input::CallerRemoved), ["leave"]);
}

#[test]
fn the_reason_for_a_fallback_is_in_the_record() {
    let mut call = Call::ringing();
    call.step(Input::Configured(Box::new(Resolved {
        config: config("Default.", "gpt-realtime"),
        source: ConfigSource::TenantDefault,
        reason: Some(FallbackReason::Timeout),
        took: Duration::from_millis(5),
    })));
    let summary = call.machine.summary();
    assert_eq!(summary.config_source, Some(ConfigSource::TenantDefault));
    assert_eq!(
        summary.fallback_reason,
        Some(FallbackReason::Timeout.to_string())
    );
}

fn any_action() -> impl Strategy<Value = CallAction> {
    prop_oneof![
        Just(CallAction::Reject),
        Just(CallAction::Transfer {
            to: TransferTarget::new("+15551234567").unwrap()
        }),
        Just(CallAction::Play {
            url: "https://acme.example/a.wav".parse().unwrap()
        }),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let response = || prop_oneof![Just("greeting"), Just("answer")];
    prop_oneof![
        Just(()).prop_map(|()| Input::Joined),
        Just(()).prop_map(|()| Input::JoinFailed("x".into())),
        prop_oneof![
            Just(CallStatus::Ringing),
            Just(CallStatus::Active),
            Just(CallStatus::Unknown)
        ]
        .prop_map(|status| Input::Caller(boxed_sip(status))),
        prop_oneof![
            Just(CallStatus::Ringing),
            Just(CallStatus::Active),
            Just(CallStatus::Hangup)
        ]
        .prop_map(Input::Status),
        Just(()).prop_map(|()| Input::CallerLeft),
        Just(()).prop_map(|()| Input::CallerMissing),
        Just(()).prop_map(|()| Input::RoomLost("x".into())),
        prop_oneof![Just(""), Just("Hi.")].prop_map(|text| configured(text, "gpt-realtime")),
        any_action().prop_map(|action| fresh(CallConfig {
            action,
            ..config("Hi.", "gpt-realtime")
        })),
        prop_oneof![Just('1'), Just('#')].prop_map(Input::Key),
        prop_oneof![Just(Ok(vec![1; 240])), Just(Err("x".to_owned()))].prop_map(Input::Recording),
        prop_oneof![Just(Ok(())), Just(Err("x".to_owned()))].prop_map(Input::Transferred),
        Just(()).prop_map(|()| Input::Model(said("a recording that repeats itself"))),
        Just(()).prop_map(|()| Input::Model(done("answer", ResponseStatus::Failed(refusal())))),
        Just(()).prop_map(|()| Input::ModelConnected),
        prop_oneof![Just(Retry::Useful), Just(Retry::Useless)].prop_map(|retry| {
            Input::ModelUnreachable {
                reason: "x".into(),
                retry,
            }
        }),
        Just(()).prop_map(|()| Input::Model(Event::Ready { dropped: vec![] })),
        response().prop_map(|r| Input::Model(audio(r))),
        response().prop_map(|r| Input::Model(done(r, ResponseStatus::Completed))),
        Just(()).prop_map(|()| Input::Model(speech_started())),
        Just(()).prop_map(|()| Input::Model(speech_stopped())),
        Just(()).prop_map(|()| Input::Model(Event::Closed(CloseReason::Silent))),
        Just(()).prop_map(|()| Input::Published),
        Just(()).prop_map(|()| Input::PublishFailed("x".into())),
        Just(()).prop_map(|()| Input::PlayoutDrained),
        Just(()).prop_map(|()| Input::CallerRemoved),
        Just(()).prop_map(|()| Input::Stop),
        Just(()).prop_map(|()| Input::Tick),
    ]
}

proptest! {
    /// Whatever happens in whatever order: the job's end is reported once and
    /// before we leave, the track is published once, nothing sounds before it,
    /// and a call that nobody talks to any more ends.
    #[test]
    fn every_course_ends_in_order(
        inputs in proptest::collection::vec((any_input(), 0u64..3000), 0..60),
        tenant in prop_oneof![
            Just(tenant()),
            Just(brief_tenant()),
            Just(tenant_with_two_models()),
        ],
    ) {
        let mut call = Call::of(&tenant);
        let mut all = Vec::new();
        for (input, pause_ms) in inputs {
            call.now += Duration::from_millis(pause_ms);
            all.extend(call.step(input));
        }
        all.extend(call.step(Input::Stop));
        for _ in 0..10 {
            if !call.machine.is_over() {
                all.extend(call.wait());
            }
        }
        prop_assert!(call.machine.is_over());
        let count = |name: &str| all.iter().filter(|e| e.starts_with(name)).count();
        let first = |name: &str| all.iter().position(|e| e.starts_with(name));
        prop_assert_eq!(count("leave"), 1);
        prop_assert_eq!(count("report"), 1);
        prop_assert!(count("publish") <= 1);
        prop_assert!(first("report") < first("leave"));
        if let Some(open) = first("open") {
            prop_assert!(first("publish").is_some_and(|publish| publish < open));
        }
        prop_assert_eq!(all.last().map(String::as_str), Some("leave"));
    }
}
