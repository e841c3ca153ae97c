use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

const TIMING: Timing = Timing {
    register_timeout: Duration::from_secs(10),
    reservation: Duration::from_secs(5),
    status_interval: Duration::from_millis(2500),
    ping_interval: Duration::from_secs(5),
    silence_limit: Duration::from_secs(15),
};

/// Counts places, as the desk does.
#[derive(Clone)]
struct Places {
    taken: Rc<Cell<u32>>,
    limit: Rc<Cell<u32>>,
}

struct Place(Rc<Cell<u32>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Admission for Places {
    type Permit = Place;

    fn admit(&mut self, _now: Instant, _entry: Entry) -> Result<Place, Refusal> {
        if self.taken.get() >= self.limit.get() {
            return Err(Refusal::TenantFull);
        }
        self.taken.set(self.taken.get() + 1);
        Ok(Place(Rc::clone(&self.taken)))
    }

    fn vacancy(&mut self) -> Vacancy {
        Vacancy {
            full: (self.taken.get() >= self.limit.get()).then_some(Refusal::TenantFull),
            load: 0.1,
            jobs: self.taken.get(),
        }
    }
}

/// A session with everything that it said, and the calls that it started.
struct Bench {
    session: Session<Places>,
    places: Places,
    now: Instant,
    said: Vec<WorkerMessage>,
    answers: Vec<Result<(), Refusal>>,
    calls: HashMap<String, Place>,
    stopped: Vec<String>,
    overrun: Vec<String>,
    pings: usize,
    closed: Option<CloseReason>,
}

impl Bench {
    fn connected(limit: u32) -> Self {
        let now = Instant::now();
        let places = Places {
            taken: Rc::default(),
            limit: Rc::new(Cell::new(limit)),
        };
        let registration = Registration {
            agent_name: "a".into(),
            deployment: String::new(),
            ping_interval_s: 5,
        };
        let mut bench = Self {
            session: Session::new(now, TIMING, registration, places.clone()),
            places,
            now,
            said: Vec::new(),
            answers: Vec::new(),
            calls: HashMap::new(),
            stopped: Vec::new(),
            overrun: Vec::new(),
            pings: 0,
            closed: None,
        };
        bench.collect();
        bench
    }

    fn registered(limit: u32) -> Self {
        let mut bench = Self::connected(limit);
        bench.server(ServerEvent::Registered {
            worker_id: "AW_1".into(),
            server_version: "1.13.5".into(),
        });
        bench
    }

    fn collect(&mut self) {
        while let Some(output) = self.session.poll() {
            assert!(self.closed.is_none(), "an output after the close");
            match output {
                Output::Send(message) => self.said.push(message),
                Output::Ping => self.pings += 1,
                Output::Registered { .. } => {}
                Output::Answered(result) => self.answers.push(result),
                Output::Start { job, permit } => {
                    assert!(self.calls.insert(job.job_id, permit).is_none());
                }
                Output::Overrun { job_id } => self.overrun.push(job_id),
                Output::Stop { job_id } => self.stopped.push(job_id),
                Output::Close(reason) => self.closed = Some(reason),
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.session.handle(self.now, input);
        self.collect();
    }

    fn server(&mut self, event: ServerEvent) {
        self.input(Input::Server(event));
    }

    fn offer(&mut self, job: &str) {
        self.server(ServerEvent::Offer(Offer {
            job_id: job.into(),
            unfit: None,
        }));
    }

    fn assign(&mut self, job: &str) {
        self.server(ServerEvent::Assigned(Box::new(AssignedJob {
            job_id: job.into(),
            room: "room".into(),
            token: "t".into(),
            url: None,
        })));
    }

    fn end(&mut self, job: &str) {
        self.calls.remove(job);
        self.input(Input::JobEnded { job_id: job.into() });
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick);
    }

    fn last_status(&self) -> Option<Status> {
        self.said.iter().rev().find_map(|m| match m {
            WorkerMessage::Status(status) => Some(*status),
            _ => None,
        })
    }

    fn statuses(&self) -> usize {
        let is_status = |m: &&WorkerMessage| matches!(m, WorkerMessage::Status(_));
        self.said.iter().filter(is_status).count()
    }
}

#[test]
fn a_session_registers_first_and_then_says_that_it_takes_jobs() {
    let mut bench = Bench::connected(1);
    assert!(matches!(bench.said[..], [WorkerMessage::Register(_)]));
    bench.server(ServerEvent::Registered {
        worker_id: "AW_1".into(),
        server_version: String::new(),
    });
    let status = bench.last_status().unwrap();
    assert!(status.takes_jobs && !status.draining);
}

#[test]
fn a_registration_without_an_answer_is_given_up() {
    let mut bench = Bench::connected(1);
    bench.pass(Duration::from_secs(10));
    assert_eq!(
        bench.closed,
        Some(CloseReason::NotRegistered(TIMING.register_timeout))
    );
}

#[test]
fn two_offers_at_once_do_not_slip_through_a_limit_of_one() {
    let mut bench = Bench::registered(1);
    bench.offer("AJ_1");
    bench.offer("AJ_2");
    assert_eq!(bench.answers, [Ok(()), Err(Refusal::TenantFull)]);
    assert!(!bench.last_status().unwrap().takes_jobs);
    bench.assign("AJ_1");
    assert!(bench.calls.contains_key("AJ_1"));
    bench.end("AJ_1");
    assert!(bench.last_status().unwrap().takes_jobs);
}

#[test]
fn an_offer_that_comes_again_keeps_its_one_place() {
    let mut bench = Bench::registered(2);
    bench.offer("AJ_1");
    bench.offer("AJ_1");
    assert_eq!(bench.answers, [Ok(()), Ok(())]);
    assert_eq!(bench.places.taken.get(), 1);
}

#[test]
fn a_reservation_without_an_assignment_is_given_back() {
    let mut bench = Bench::registered(1);
    bench.offer("AJ_1");
    assert!(bench.session.wake_at() <= bench.now + TIMING.reservation);
    bench.pass(TIMING.reservation);
    assert_eq!(bench.places.taken.get(), 0);
    assert!(bench.last_status().unwrap().takes_jobs);
    // Late, but there is a place.
    bench.assign("AJ_1");
    assert!(bench.calls.contains_key("AJ_1"));
}

#[test]
fn an_assignment_that_finds_no_place_is_reported_as_failed() {
    let mut bench = Bench::registered(1);
    bench.offer("AJ_1");
    bench.pass(TIMING.reservation);
    bench.offer("AJ_2");
    bench.assign("AJ_1");
    assert_eq!(bench.overrun, ["AJ_1"]);
    assert!(bench.said.iter().any(|m| matches!(
        m,
        WorkerMessage::Job { job_id, status: JobStatus::Failed(_) } if job_id == "AJ_1"
    )));
}

#[test]
fn an_unfit_job_is_declined_whatever_room_there_is() {
    let mut bench = Bench::registered(9);
    bench.server(ServerEvent::Offer(Offer {
        job_id: "AJ_1".into(),
        unfit: Some(Unfit::WrongKind),
    }));
    assert_eq!(bench.answers, [Err(Refusal::Unfit(Unfit::WrongKind))]);
}

#[test]
fn a_termination_stops_its_call_and_no_other() {
    let mut bench = Bench::registered(2);
    for job in ["AJ_1", "AJ_2"] {
        bench.offer(job);
        bench.assign(job);
    }
    bench.server(ServerEvent::Terminate {
        job_id: "AJ_2".into(),
    });
    bench.server(ServerEvent::Terminate {
        job_id: "AJ_unknown".into(),
    });
    assert_eq!(bench.stopped, ["AJ_2"]);
}

#[test]
fn a_drain_refuses_offers_keeps_promises_and_closes_with_the_last_call() {
    let mut bench = Bench::registered(9);
    bench.offer("AJ_1");
    bench.input(Input::Drain);
    let status = bench.last_status().unwrap();
    assert!(!status.takes_jobs && status.draining);
    bench.offer("AJ_2");
    assert_eq!(bench.answers, [Ok(()), Err(Refusal::Draining)]);
    bench.assign("AJ_1");
    assert_eq!(bench.closed, None);
    bench.end("AJ_1");
    assert_eq!(bench.closed, Some(CloseReason::Drained));
}

#[test]
fn a_drain_without_calls_closes_at_once() {
    let mut bench = Bench::registered(9);
    bench.input(Input::Drain);
    assert!(!bench.last_status().unwrap().takes_jobs);
    assert_eq!(bench.closed, Some(CloseReason::Drained));
}

#[test]
fn status_is_repeated_and_a_raised_limit_is_told_at_once() {
    let mut bench = Bench::registered(0);
    assert!(!bench.last_status().unwrap().takes_jobs);
    bench.places.limit.set(1);
    bench.input(Input::VacancyChanged);
    assert!(bench.last_status().unwrap().takes_jobs);
    let before = bench.statuses();
    bench.input(Input::VacancyChanged);
    assert_eq!(bench.statuses(), before, "nothing changed");
    for _ in 1..MAX_UNCHANGED {
        bench.pass(TIMING.status_interval);
        bench.input(Input::Heard);
        assert_eq!(bench.statuses(), before, "the server would learn nothing");
    }
    bench.pass(TIMING.status_interval);
    assert_eq!(bench.statuses(), before + 1);
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let mut bench = Bench::registered(1);
    for _ in 0..4 {
        bench.pass(TIMING.ping_interval);
        bench.input(Input::Heard);
    }
    assert_eq!((bench.closed.clone(), bench.pings), (None, 4));
    bench.pass(TIMING.silence_limit);
    assert_eq!(
        bench.closed,
        Some(CloseReason::Silent(TIMING.silence_limit))
    );
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u8),
    Assign(u8),
    End(u8),
    Terminate(u8),
    Limit(u32),
    Pass(u64),
    Heard,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..6).prop_map(Step::Offer),
        5 => (0_u8..6).prop_map(Step::Assign),
        4 => (0_u8..6).prop_map(Step::End),
        1 => (0_u8..6).prop_map(Step::Terminate),
        1 => (0_u32..4).prop_map(Step::Limit),
        3 => (0_u64..6000).prop_map(Step::Pass),
        4 => Just(Step::Heard),
        1 => Just(Step::Drain),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_places_are_exact_and_the_server_knows_how_we_stand(
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let mut bench = Bench::registered(2);
        let mut draining = false;
        for step in steps {
            if bench.closed.is_some() {
                break;
            }
            let answered = bench.answers.len();
            let before = bench.places.taken.get();
            let job = |n: u8| format!("AJ_{n}");
            let promised = matches!(step, Step::Offer(n) if bench.session.reserved.contains_key(&job(n)));
            match step.clone() {
                Step::Offer(n) => {
                    bench.offer(&job(n));
                    prop_assert_eq!(bench.answers.len(), answered + 1, "answered in its step");
                    let accepted = bench.answers[answered].is_ok();
                    prop_assert!(!(accepted && draining && !promised), "accepted while draining");
                }
                Step::Assign(n) => bench.assign(&job(n)),
                Step::End(n) => bench.end(&job(n)),
                Step::Terminate(n) => bench.server(ServerEvent::Terminate { job_id: job(n) }),
                Step::Limit(n) => {
                    bench.places.limit.set(n);
                    bench.input(Input::VacancyChanged);
                }
                Step::Pass(ms) => bench.pass(Duration::from_millis(ms)),
                Step::Heard => bench.input(Input::Heard),
                Step::Drain => {
                    draining = true;
                    bench.input(Input::Drain);
                }
            }
            let taken = bench.places.taken.get();
            let held = bench.calls.len() + bench.session.reserved.len();
            prop_assert_eq!(taken as usize, held, "no place is lost or used twice");
            if taken > before {
                prop_assert!(taken <= bench.places.limit.get(), "over the limit");
            }
            if bench.closed.is_none() {
                let status = bench.last_status().unwrap();
                let free = taken < bench.places.limit.get();
                prop_assert_eq!(status.takes_jobs, free && !draining);
                prop_assert!(bench.session.wake_at() > bench.now, "would spin");
                prop_assert!(!(draining && held == 0), "a drained session is closed");
            }
        }
        let seqs: Vec<u64> = bench.said.iter().filter_map(|m| match m {
            WorkerMessage::Status(s) => Some(s.seq),
            _ => None,
        }).collect();
        prop_assert!(seqs.windows(2).all(|w| w[0] < w[1]));
    }
}
