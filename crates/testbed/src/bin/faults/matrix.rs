//! Every fault, everywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trunkline_testbed::backend::Reply;
use trunkline_testbed::model::{
    Behaviour, Disturbance, Injection, Opening, Reply as Answer, ResponseFault, Script, Turn,
};

use crate::case::{Case, Moment, Part, Strike};
use crate::site::{GOING_ON, good_reply};

/// Slow, but within every deadline.
const SLOW: Duration = Duration::from_millis(1_200);
/// Beyond every deadline.
const TOO_SLOW: Duration = Duration::from_secs(30);
/// Some words into a sentence.
const SOME_WORDS: Duration = Duration::from_millis(900);
/// As long as a server that stands still may take to come to itself.
const STANDSTILL: Duration = Duration::from_secs(2);

/// More than the product takes: 256 kB.
const OVERSIZE: usize = 300 * 1024;

pub(crate) fn cases() -> Vec<Case> {
    [
        backend(),
        model_before(),
        model_in_call(),
        second_session(),
        room(),
        database(),
    ]
    .concat()
}

fn backend() -> Vec<Case> {
    let status = |status: u16| {
        let status = status.try_into().unwrap_or_default();
        Reply::Status(status, "no".to_owned())
    };
    let garbage = |text: &str| Reply::Garbage(text.as_bytes().to_vec());
    [
        ("slow", Reply::after(SLOW, good_reply())),
        ("far too slow", Reply::after(TOO_SLOW, good_reply())),
        ("hanging", Reply::Hang),
        ("hanging in the body", Reply::HangInBody),
        ("cut before the answer", Reply::Close),
        ("cut in the body", Reply::CloseInBody),
        ("garbage", garbage("<html>")),
        (
            "garbage that is JSON",
            garbage(r#"{"systemPrompt": 7, "temperature": "warm"}"#),
        ),
        ("an answer too large", Reply::Oversize(OVERSIZE)),
        ("refusing with 401", status(401)),
        ("refusing with 503", status(503)),
        (
            "refusing once",
            Reply::sequence([status(503), good_reply()]),
        ),
    ]
    .map(|(fault, reply)| Case::new(Part::Backend, fault).backend(reply))
    .into_iter()
    .chain([Case::new(Part::Backend, "nobody there").nobody_at_the_backend()])
    .collect()
}

fn model_before() -> Vec<Case> {
    let openings = [
        ("slow to open", Opening::Delayed(SLOW)),
        ("far too slow to open", Opening::Delayed(TOO_SLOW)),
        ("mute", Opening::Mute),
        ("refusing with 503", Opening::Refused(503)),
        ("refusing with 429", Opening::Refused(429)),
        ("refusing with 401", Opening::Refused(401)),
        (
            "an error in place of a session",
            Opening::Failed("server_error".to_owned()),
        ),
    ];
    let greetings = [
        ("greeting slow", ResponseFault::SlowStart(SLOW)),
        ("greeting ignored", ResponseFault::Ignored),
        (
            "greeting refused",
            ResponseFault::Refused("rate_limit_exceeded".to_owned()),
        ),
        ("greeting failed", failed("server_error", Duration::ZERO)),
        (
            "greeting failed half-way",
            failed("server_error", SOME_WORDS),
        ),
        (
            "greeting stalled",
            ResponseFault::Stalled { after: SOME_WORDS },
        ),
        ("cut before the greeting", closed(Duration::ZERO)),
        ("cut in the greeting", closed(SOME_WORDS)),
    ];
    let openings = openings.map(|(fault, opening)| {
        Case::new(Part::ModelBefore, fault).model(Behaviour {
            opening,
            ..working()
        })
    });
    let greetings = greetings.map(|(fault, response)| {
        Case::new(Part::ModelBefore, fault).model(failing(response, Turns::Greetings))
    });
    let garbage = Case::new(Part::ModelBefore, "garbage").model(disturbed(Disturbance::Garbage));
    openings
        .into_iter()
        .chain(greetings)
        .chain([garbage])
        .collect()
}

fn model_in_call() -> Vec<Case> {
    let answers = [
        ("slow", ResponseFault::SlowStart(SLOW)),
        ("far too slow", ResponseFault::SlowStart(TOO_SLOW)),
        ("question ignored", ResponseFault::Ignored),
        (
            "answer refused",
            ResponseFault::Refused("rate_limit_exceeded".to_owned()),
        ),
        ("rate limit", failed("rate_limit_exceeded", Duration::ZERO)),
        ("quota gone", failed("insufficient_quota", Duration::ZERO)),
        ("overload", failed("server_error", Duration::ZERO)),
        ("failed half-way", failed("server_error", SOME_WORDS)),
        (
            "stalled",
            ResponseFault::Stalled {
                after: Duration::ZERO,
            },
        ),
        (
            "stalled half-way",
            ResponseFault::Stalled { after: SOME_WORDS },
        ),
        ("cut before the answer", closed(Duration::ZERO)),
        ("cut in the answer", closed(SOME_WORDS)),
    ];
    let answers = answers.map(|(fault, response)| {
        Case::new(Part::ModelInCall, fault).model(failing(response, Turns::Answers))
    });
    let injected = [
        ("socket cut", Moment::Quiet, Injection::Cut),
        ("socket cut as it speaks", Moment::Answering, Injection::Cut),
        ("socket closed", Moment::Quiet, Injection::Close(1011)),
        (
            "session expired",
            Moment::Quiet,
            Injection::Error("session_expired".to_owned()),
        ),
        (
            "garbage",
            Moment::Quiet,
            Injection::Text("{\"type\": [".to_owned()),
        ),
        (
            "garbage as it speaks",
            Moment::Answering,
            Injection::Text("\u{0}garbage".to_owned()),
        ),
    ];
    let injected = injected.map(|(fault, moment, injection)| {
        Case::new(Part::ModelInCall, fault).strike(moment, Strike::Model(injection))
    });
    answers.into_iter().chain(injected).collect()
}

/// The socket closes as the question is to be answered, and what comes then is no better.
fn second_session() -> Vec<Case> {
    let openings = [
        ("refused with 503", Opening::Refused(503)),
        ("refused with 401", Opening::Refused(401)),
        ("mute", Opening::Mute),
        ("slow to open", Opening::Delayed(SLOW)),
        ("far too slow to open", Opening::Delayed(TOO_SLOW)),
    ];
    let openings = openings.map(|(fault, opening)| {
        let next = Behaviour {
            opening,
            ..working()
        };
        (fault, next)
    });
    let answers = [
        ("cut as well", closed(Duration::ZERO)),
        ("cut in the answer as well", closed(SOME_WORDS)),
        ("silent as well", ResponseFault::Ignored),
        ("failed as well", failed("server_error", Duration::ZERO)),
    ];
    let answers = answers.map(|(fault, response)| (fault, failing(response, Turns::All)));
    openings
        .into_iter()
        .chain(answers)
        .map(|(fault, next)| {
            Case::new(Part::SecondSession, fault)
                .model(failing(closed(Duration::ZERO), Turns::Answers))
                .strike(Moment::Quiet, Strike::NewSessions(next))
        })
        .collect()
}

fn room() -> Vec<Case> {
    [
        ("cannot be joined", Moment::Before, Strike::LoseRoom),
        ("worker's socket cut", Moment::Quiet, Strike::CutWorker),
        ("connection cut", Moment::Quiet, Strike::CutRoom),
        (
            "connection cut as it speaks",
            Moment::Answering,
            Strike::CutRoom,
        ),
        ("to be joined anew", Moment::Quiet, Strike::RejoinRoom),
        (
            "to be joined anew as it speaks",
            Moment::Answering,
            Strike::RejoinRoom,
        ),
        ("lost for good", Moment::Quiet, Strike::LoseRoom),
        ("server restarted", Moment::Quiet, Strike::RestartServer),
        (
            "server restarted as it speaks",
            Moment::Answering,
            Strike::RestartServer,
        ),
        (
            "server stands still",
            Moment::Answering,
            Strike::FreezeServer(STANDSTILL),
        ),
    ]
    .map(|(fault, moment, strike)| Case::new(Part::Room, fault).strike(moment, strike))
    .into()
}

fn database() -> Vec<Case> {
    [
        ("away before the call", Moment::Before),
        ("away in the call", Moment::Quiet),
    ]
    .map(|(fault, moment)| Case::new(Part::Database, fault).strike(moment, Strike::StopDatabase))
    .into()
}

fn failed(code: &str, after: Duration) -> ResponseFault {
    ResponseFault::Failed {
        code: code.to_owned(),
        after,
    }
}

fn closed(after: Duration) -> ResponseFault {
    ResponseFault::Closed { code: 1011, after }
}

fn disturbed(disturbance: Disturbance) -> Behaviour {
    Behaviour {
        disturbance,
        ..working()
    }
}

/// A model that works.
pub(crate) fn working() -> Behaviour {
    Behaviour {
        script: Script::new(words),
        ..Behaviour::default()
    }
}

/// What the model says: what it is told to, what it has understood, or, told to go on where it
/// stopped, that it does.
fn words(turn: &Turn) -> Answer {
    let goes_on = turn.ordered_words().is_none() && turn.user.is_empty();
    match goes_on {
        true => Answer::say(GOING_ON),
        false => Answer::obedient(turn),
    }
}

/// Which responses fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turns {
    /// The first greeting.
    Greetings,
    /// The first answer.
    Answers,
    /// Every one.
    All,
}

/// A model of which these responses fail in this way.
fn failing(fault: ResponseFault, turns: Turns) -> Behaviour {
    let failures = Arc::new(AtomicUsize::new(0));
    Behaviour {
        script: Script::new(move |turn: &Turn| {
            let answer = words(turn);
            let is_greeting = turn.ordered_words().is_some();
            let fails = match turns {
                Turns::Greetings => is_greeting,
                Turns::Answers => !is_greeting,
                Turns::All => true,
            };
            let is_first = fails && failures.fetch_add(1, Ordering::Relaxed) == 0;
            match is_first || turns == Turns::All {
                true => answer.but(fault.clone()),
                false => answer,
            }
        }),
        ..working()
    }
}
