//! Calls that no agent talks in, and calls that are passed on.

use super::*;

fn ringing_for(action: CallAction) -> (Call, Vec<String>) {
    let mut call = Call::ringing();
    call.step(Input::ModelConnected);
    let effects = call.step(fresh(CallConfig {
        action,
        ..config("Hi.", "gpt-realtime")
    }));
    (call, effects)
}

fn target() -> TransferTarget {
    TransferTarget::new("+15551234567").unwrap()
}

fn on_line(call: &mut Call) -> Vec<String> {
    call.step(Input::Published);
    call.step(Input::Status(CallStatus::Active))
}

#[test]
fn a_call_can_be_refused_while_it_rings() {
    let (mut call, effects) = ringing_for(CallAction::Reject);
    assert_eq!(effects, ["report Success", "drop model", "bye"]);
    assert_eq!(call.step(Input::CallerLeft), ["leave"]);
    assert_eq!(call.outcome(), CallOutcome::Rejected);
}

#[test]
fn a_call_can_be_passed_on_at_once() {
    let (mut call, effects) = ringing_for(CallAction::Transfer { to: target() });
    assert_eq!(effects, ["drop model", "publish"]);
    assert_eq!(on_line(&mut call), ["open", "transfer tel:+15551234567"]);
    assert!(call.step(Input::Transferred(Ok(()))).is_empty());
    assert_eq!(
        call.step(Input::CallerLeft),
        ["report Success", "drop model", "leave"]
    );
    assert_eq!(call.outcome(), CallOutcome::Transferred);
}

#[test]
fn a_call_that_nobody_takes_hears_the_apology() {
    for answer in [Some(Err("486 busy".to_owned())), None] {
        let (mut call, _) = ringing_for(CallAction::Transfer { to: target() });
        on_line(&mut call);
        let effects = match answer {
            Some(answer) => call.step(Input::Transferred(answer)),
            None => call.wait(),
        };
        assert_eq!(effects, ["drop model", "interrupt", "apology"]);
        assert_eq!(
            call.step(Input::PlayoutDrained)[0],
            "report Failed(\"transfer_failed\")"
        );
    }
}

#[test]
fn a_recording_can_be_played_in_an_agents_place() {
    let url = "https://acme.example/closed.wav".parse().unwrap();
    let (mut call, effects) = ringing_for(CallAction::Play { url });
    assert_eq!(
        effects,
        ["drop model", "fetch https://acme.example/closed.wav"]
    );
    let fetched = call.step(Input::Recording(Ok(vec![1; 240])));
    assert_eq!(fetched, ["play recording", "publish"]);
    assert_eq!(on_line(&mut call), ["open"]);
    assert_eq!(
        call.step(Input::PlayoutDrained),
        ["report Success", "drop model", "bye"]
    );
    assert_eq!(call.outcome(), CallOutcome::AgentHungUp);
}

#[test]
fn a_recording_that_cannot_be_had_is_replaced_by_the_apology() {
    let url: url::Url = "https://acme.example/closed.wav".parse().unwrap();
    let apology = ["drop model", "interrupt", "apology", "publish"];
    let (mut call, _) = ringing_for(CallAction::Play { url: url.clone() });
    let failed = call.step(Input::Recording(Err("HTTP status 404".into())));
    assert_eq!(failed, apology);
    let (mut call, _) = ringing_for(CallAction::Play { url });
    assert_eq!(call.wait(), apology);
}

#[test]
fn after_the_apology_a_call_is_passed_on_where_the_tenant_says_to_whom() {
    let mut tenant = tenant();
    tenant.fallback.transfer_to = Some(target());
    let mut call = Call::of(&tenant).rings();
    call.step(configured("Hi.", "gpt-realtime"));
    let refused = Input::ModelUnreachable {
        reason: "401".into(),
        retry: Retry::Useless,
    };
    call.step(refused);
    assert_eq!(on_line(&mut call), ["open"]);
    assert_eq!(
        call.step(Input::PlayoutDrained),
        ["transfer tel:+15551234567"]
    );
    let failed = call.step(Input::Transferred(Err("603".into())));
    assert_eq!(failed[0], "report Failed(\"model_failed\")");
}

#[test]
fn the_apology_is_in_the_language_of_the_call() {
    let mut call = Call::ringing();
    call.step(fresh(CallConfig {
        language: trunkline_domain::Language::new("pt-BR"),
        ..config("Oi.", "gpt-realtime")
    }));
    let refused = Input::ModelUnreachable {
        reason: "401".into(),
        retry: Retry::Useless,
    };
    assert!(call.step(refused).contains(&"apology in pt".to_owned()));
}
