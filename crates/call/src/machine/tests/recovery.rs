//! A model that is lost in mid-call, and one that is renewed.

use super::*;

/// The caller asks, and the answer is under way.
fn answering() -> Call {
    let mut call = greeted(&tenant());
    call.model(speech_started());
    call.model(speech_stopped());
    call.model(said("When are you open?"));
    call.model(audio_of("answer", "answer"));
    call
}

/// A call of a tenant whose greeting was heard.
fn greeted(tenant: &Tenant) -> Call {
    let mut call = Call::of(tenant).talks();
    call.model(agent_said("item", "Hello."));
    call.model(done("greeting", ResponseStatus::Completed));
    call.model(Event::AudioDone {
        response: ResponseId::from("greeting"),
        item: ItemId::from("item"),
    });
    call.step(Input::PlayoutDrained);
    call
}

fn overloaded() -> VendorError {
    VendorError {
        trouble: Trouble::Overload,
        ..refusal()
    }
}

fn lost() -> Event {
    Event::Closed(CloseReason::Silent)
}

#[test]
fn a_new_session_is_told_what_was_said_and_goes_on() {
    let mut call = answering();
    let lost = call.model(lost());
    assert_eq!(lost, ["drop model", "complete", "connect gpt-realtime"]);
    assert_eq!(
        call.machine.ear(),
        Ear::Holding,
        "nothing of the caller's is lost"
    );
    assert_eq!(call.step(Input::ModelConnected), ["configure"]);
    assert_eq!(
        call.model(Event::Ready { dropped: vec![] }),
        [
            "remember agent: Hello. | caller: When are you open? | system",
            "Respond"
        ]
    );
    assert_eq!(call.machine.ear(), Ear::Open);
    assert_eq!(call.model(audio_of("again", "again")), ["play"]);
}

#[test]
fn a_session_that_is_lost_while_nobody_speaks_goes_on_in_silence() {
    let mut call = greeted(&tenant());
    assert_eq!(call.model(lost()), ["drop model", "connect gpt-realtime"]);
    call.step(Input::ModelConnected);
    assert_eq!(
        call.model(Event::Ready { dropped: vec![] }),
        ["remember agent: Hello."]
    );
    assert_eq!(call.machine.deadline(), Some(call.now + PATIENCE));
}

#[test]
fn a_session_that_is_lost_while_the_caller_speaks_hears_the_rest() {
    let mut call = greeted(&tenant());
    call.model(speech_started());
    call.model(lost());
    call.step(Input::ModelConnected);
    assert_eq!(
        call.model(Event::Ready { dropped: vec![] }),
        ["remember agent: Hello."],
        "the caller has the word"
    );
}

#[test]
fn without_a_new_session_in_time_the_caller_hears_the_apology() {
    let mut call = answering();
    call.model(lost());
    let lost_at = call.now;
    assert_eq!(call.wait(), ["drop model", "interrupt", "apology"]);
    assert!(call.now - lost_at <= Duration::from_secs(2));
    assert_eq!(call.outcome(), CallOutcome::ModelFailed);
}

#[test]
fn the_second_model_takes_over_where_the_first_cannot_help() {
    for reason in [
        CloseReason::Vendor(overloaded()),
        CloseReason::Peer {
            code: Some(1008),
            text: String::new(),
        },
    ] {
        let mut call = greeted(&tenant_with_two_models());
        let lost = call.model(Event::Closed(reason));
        assert_eq!(lost, ["drop model", "connect second"]);
        call.step(Input::ModelConnected);
        call.model(Event::Ready { dropped: vec![] });
        assert_eq!(call.machine.ear(), Ear::Open);
        let summary = call.machine.summary();
        assert_eq!(summary.model, "second");
    }
}

#[test]
fn a_first_model_that_does_not_come_back_in_time_gives_way_to_the_second() {
    let mut call = greeted(&tenant_with_two_models());
    assert_eq!(call.model(lost()), ["drop model", "connect gpt-realtime"]);
    assert_eq!(call.wait(), ["connect second"]);
    assert_eq!(call.wait(), ["drop model", "interrupt", "apology"]);
}

#[test]
fn the_second_model_takes_over_while_the_phone_rings() {
    let mut call = Call::of(&tenant_with_two_models()).rings();
    call.step(configured("Hi.", "gpt-realtime"));
    let refused = Input::ModelUnreachable {
        reason: "401".into(),
        retry: Retry::Useless,
    };
    assert_eq!(call.step(refused), ["connect second"]);
    call.step(Input::ModelConnected);
    assert_eq!(call.model(Event::Ready { dropped: vec![] }), ["greet Hi."]);
}

#[test]
fn a_session_that_is_lost_again_and_again_is_given_up() {
    let mut call = greeted(&tenant());
    let mut effects = Vec::new();
    for _ in 0..20 {
        effects = call.model(lost());
        call.step(Input::ModelConnected);
        call.model(Event::Ready { dropped: vec![] });
        call.now += Duration::from_secs(1);
    }
    assert_eq!(effects, ["drop model"]);
    assert_eq!(call.outcome(), CallOutcome::ModelFailed);

    let mut call = greeted(&tenant());
    for _ in 0..20 {
        call.model(lost());
        call.step(Input::ModelConnected);
        call.model(Event::Ready { dropped: vec![] });
        call.now += Duration::from_secs(100);
    }
    assert_eq!(call.machine.ear(), Ear::Open, "each was well for long");
}

#[test]
fn an_answer_that_failed_is_asked_for_again_after_a_pause() {
    let mut call = answering();
    call.model(speech_started());
    call.model(speech_stopped());
    for _ in 0..2 {
        let failed = done("next", ResponseStatus::Failed(overloaded()));
        assert!(call.model(failed).is_empty());
        assert_eq!(call.wait(), ["Respond"]);
    }
    let failed = done("next", ResponseStatus::Failed(overloaded()));
    assert_eq!(call.model(failed), ["drop model", "connect gpt-realtime"]);
}

#[test]
fn an_answer_that_failed_is_the_second_models_where_there_is_one() {
    let mut call = greeted(&tenant_with_two_models());
    call.model(speech_started());
    call.model(speech_stopped());
    let failed = done("next", ResponseStatus::Failed(overloaded()));
    assert_eq!(call.model(failed), ["drop model", "connect second"]);
    call.step(Input::ModelConnected);
    let restored = call.model(Event::Ready { dropped: vec![] });
    assert_eq!(restored, ["remember agent: Hello. | system", "Respond"]);
}

#[test]
fn an_old_session_is_renewed_while_nobody_speaks() {
    let mut call = Call::of(&tenant()).rings();
    call.step(Input::ModelConnected);
    let mut endless = config("Hello.", "gpt-realtime");
    endless.limits.silence_prompts = 10_000;
    call.step(fresh(endless));
    call.model(Event::Ready { dropped: vec![] });
    call.model(audio("greeting"));
    call.step(Input::Published);
    call.step(Input::Status(CallStatus::Active));
    call.model(agent_said("item", "Hello."));
    call.model(done("greeting", ResponseStatus::Completed));
    let began = call.now;
    call.step(Input::PlayoutDrained);
    let mut n = 0;
    let renewed = loop {
        let effects = call.wait();
        if effects != ["prompt"] {
            break effects;
        }
        n += 1;
        let name = n.to_string();
        call.model(audio_of(&name, &name));
        call.model(done(&name, ResponseStatus::Completed));
        call.step(Input::PlayoutDrained);
    };
    assert_eq!(renewed, ["connect gpt-realtime"]);
    let age = call.now - began;
    assert!(age >= Duration::from_secs(54 * 60) && age < Duration::from_secs(60 * 60));
    assert_eq!(call.machine.ear(), Ear::Holding);
    call.step(Input::ModelConnected);
    let restored = call.model(Event::Ready { dropped: vec![] });
    assert_eq!(restored, ["remember agent: Hello."]);
}
