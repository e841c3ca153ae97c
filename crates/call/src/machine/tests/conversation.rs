//! Silence, recordings, keys, interruptions: what happens between the first word and the last.

use super::*;

fn talking_with(change: impl FnOnce(&mut CallConfig)) -> Call {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    let mut config = config("Hello.", "gpt-realtime");
    change(&mut config);
    call.step(fresh(config));
    call.model(Event::Ready { dropped: vec![] });
    call.model(audio("greeting"));
    call.step(Input::Published);
    call.step(Input::Status(CallStatus::Active));
    call
}

fn says(call: &mut Call, name: &str) {
    call.model(audio_of(name, name));
    call.model(done(name, ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
}

fn quiet(silence_prompts: u32) -> Call {
    let mut call = talking_with(|config| {
        config.limits = ConversationLimits {
            silence_prompts,
            ..ConversationLimits::default()
        };
    });
    call.model(done("greeting", ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
    call
}

#[test]
fn a_silent_caller_is_asked_then_said_goodbye_to() {
    let mut call = quiet(2);
    for name in ["first", "second", "goodbye"] {
        assert_eq!(call.wait(), ["prompt"]);
        call.model(audio_of(name, name));
        call.model(done(name, ResponseStatus::Completed));
        if name != "goodbye" {
            assert!(call.step(Input::PlayoutDrained).is_empty());
        }
    }
    assert_eq!(
        call.step(Input::PlayoutDrained),
        ["report Success", "drop model", "bye"]
    );
    assert_eq!(call.outcome(), CallOutcome::CallerSilent);
}

#[test]
fn a_caller_who_speaks_after_all_is_not_hung_up_on() {
    let mut call = quiet(0);
    assert_eq!(call.wait(), ["prompt"]);
    call.model(audio_of("goodbye", "goodbye"));
    call.model(speech_started());
    call.model(done("goodbye", ResponseStatus::Cancelled));
    call.model(speech_stopped());
    call.model(said("Wait, I am here!"));
    says(&mut call, "answer");
    assert_eq!(call.machine.progress().step, CallStep::Talking);
}

#[test]
fn a_goodbye_that_does_not_come_ends_the_call_all_the_same() {
    let mut call = quiet(0);
    assert_eq!(call.wait(), ["prompt"]);
    assert_eq!(call.wait(), ["report Success", "drop model", "bye"]);
    assert_eq!(call.outcome(), CallOutcome::CallerSilent);
}

#[test]
fn a_recording_that_repeats_itself_is_no_caller() {
    let mut call = quiet(2);
    for n in 0..3 {
        call.model(speech_started());
        call.model(speech_stopped());
        let effects = call.model(Event::CallerTranscript {
            item: ItemId::from(format!("turn {n}").as_str()),
            text: Transcript::Final("All our agents are busy, please hold.".into()),
        });
        if n == 2 {
            assert_eq!(effects, ["prompt"]);
            break;
        }
        assert!(effects.is_empty());
        says(&mut call, &n.to_string());
    }
    call.model(audio_of("goodbye", "goodbye"));
    call.model(done("goodbye", ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
    assert_eq!(call.outcome(), CallOutcome::CallerSilent);
}

#[test]
fn nobody_talks_for_long_to_music() {
    let mut call = quiet(2);
    let mut prompted = false;
    for n in 0..20 {
        call.model(speech_started());
        if call.model(speech_stopped()) == ["prompt"] {
            prompted = true;
            break;
        }
        says(&mut call, &n.to_string());
    }
    assert!(prompted);
}

#[test]
fn keys_are_told_in_writing_after_a_pause_or_a_hash() {
    let mut call = quiet(2);
    assert!(call.step(Input::Key('4')).is_empty());
    assert!(call.step(Input::Key('2')).is_empty());
    let told = "remember caller: (The caller pressed these keys of the phone: 4 2)";
    assert_eq!(call.wait(), [told, "Respond"]);
    says(&mut call, "answer");
    let told = "remember caller: (The caller pressed these keys of the phone: #)";
    assert_eq!(call.step(Input::Key('#')), [told, "Respond"]);
}

#[test]
fn a_key_breaks_into_what_is_said() {
    let mut call = Call::talking();
    let effects = call.step(Input::Key('#'));
    assert_eq!(effects[..2], ["CancelResponse", "interrupt"]);
    assert!(call.model(audio("greeting")).is_empty());
}

fn speech(start_ms: u64, stop_ms: u64) -> (Event, Event) {
    let at = Duration::from_millis;
    (
        Event::SpeechStarted { at: at(start_ms) },
        Event::SpeechStopped { at: at(stop_ms) },
    )
}

#[test]
fn a_cough_does_not_break_off_what_the_agent_says() {
    let mut call = Call::talking();
    call.model(agent_said("item", "Hello, this is Acme."));
    // 300 ms are added before and 500 ms after: what is left is 100 ms.
    let (started, stopped) = speech(1_000, 1_900);
    assert_eq!(call.model(started), ["interrupt"]);
    let cut = Cut {
        item: ItemId::from("item"),
        heard: Duration::from_millis(5),
    };
    assert_eq!(call.step(Input::Cut(vec![cut])), ["truncate 5"]);
    call.model(done("greeting", ResponseStatus::Cancelled));
    assert_eq!(
        call.model(stopped),
        ["remember agent: Hello, this is Acme.", "resume"]
    );
    let unwanted = Event::ResponseStarted {
        id: ResponseId::from("unwanted"),
        purpose: Purpose::Turn,
    };
    assert_eq!(call.model(unwanted), ["CancelResponse"]);
    assert!(call.model(audio("unwanted")).is_empty());
    call.model(done("unwanted", ResponseStatus::Cancelled));
    // More of the sentence was to come when it was broken off.
    assert_eq!(call.step(Input::PlayoutDrained), ["Respond"]);
}

#[test]
fn a_word_breaks_in() {
    let mut call = Call::talking();
    let (started, stopped) = speech(1_000, 2_100);
    call.model(started);
    let cut = Cut {
        item: ItemId::from("item"),
        heard: Duration::from_millis(5),
    };
    call.step(Input::Cut(vec![cut]));
    assert!(call.model(stopped).is_empty());
    assert_eq!(call.model(audio("answer")), ["play"]);
}

#[test]
fn a_greeting_that_is_not_to_be_broken_is_heard_to_its_end() {
    let mut call = talking_with(|config| config.greeting_interruptible = false);
    assert_eq!(call.machine.ear(), Ear::Closed);
    call.model(done("greeting", ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
    assert_eq!(call.machine.ear(), Ear::Open);
}

#[test]
fn an_agent_without_a_sentence_of_its_own_can_speak_first_all_the_same() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    call.step(fresh(CallConfig {
        first_speaker: Some(FirstSpeaker::Agent),
        ..config("", "gpt-realtime")
    }));
    assert_eq!(call.model(Event::Ready { dropped: vec![] }), ["Respond"]);
    assert_eq!(call.model(audio("r")), ["play", "publish"]);
}

#[test]
fn an_agent_that_is_to_wait_says_its_sentence_when_nobody_speaks() {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    call.step(fresh(CallConfig {
        first_speaker: Some(FirstSpeaker::Caller),
        ..config("Hello?", "gpt-realtime")
    }));
    assert_eq!(call.model(Event::Ready { dropped: vec![] }), ["publish"]);
    call.step(Input::Published);
    call.step(Input::Status(CallStatus::Active));
    let answered = call.now;
    assert_eq!(call.wait(), ["greet Hello?"]);
    assert!(call.now - answered < Duration::from_secs(5));
}

#[test]
fn the_caller_is_told_that_a_long_call_is_about_to_end() {
    let mut call = talking_with(|config| {
        config.limits.max_duration = Some(Duration::from_secs(120));
    });
    let answered = call.now;
    call.model(done("greeting", ResponseStatus::Completed));
    call.step(Input::PlayoutDrained);
    assert_eq!(call.wait(), ["prompt"]);
    assert_eq!(call.now - answered, Duration::from_secs(90));
    says(&mut call, "warning");
    assert_eq!(call.wait(), ["report Success", "drop model", "bye"]);
    assert_eq!(call.now - answered, Duration::from_secs(120));
    assert_eq!(call.outcome(), CallOutcome::DurationLimit);
}
