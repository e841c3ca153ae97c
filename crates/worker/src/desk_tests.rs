use std::num::NonZeroU32;

use parking_lot::Mutex;
use trunkline_domain::{CallId, CallsPerSecond, TenantFields, TenantId};
use url::Url;

use super::*;

#[derive(Clone, Copy)]
enum Behaviour {
    UntilStopped(CallOutcome),
    ReportsBySelf,
    Panics,
}

struct Runner {
    behaviour: Behaviour,
    records: Mutex<Vec<CallRecord>>,
}

fn record(tenant: &Tenant, assignment: &Assignment, outcome: CallOutcome) -> CallRecord {
    CallRecord::new(
        assignment.call_id,
        tenant.id,
        &assignment.job_id,
        &assignment.room,
        Utc::now(),
        outcome,
    )
}

impl CallRunner for Runner {
    fn run(
        &self,
        tenant: Arc<Tenant>,
        assignment: Assignment,
        jobs: Arc<dyn JobReporter>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, CallRecord> {
        match self.behaviour {
            Behaviour::UntilStopped(outcome) => async move {
                stop.cancelled().await;
                record(&tenant, &assignment, outcome)
            }
            .boxed(),
            Behaviour::ReportsBySelf => async move {
                jobs.report(&assignment.job_id, JobStatus::Running);
                jobs.report("AJ_other", JobStatus::Success);
                jobs.report(&assignment.job_id, JobStatus::Success);
                jobs.report(&assignment.job_id, JobStatus::Failed("too late".into()));
                record(&tenant, &assignment, CallOutcome::Crashed)
            }
            .boxed(),
            Behaviour::Panics => panic!("out of cheese"),
        }
    }

    fn finished(&self, record: CallRecord) {
        self.records.lock().push(record);
    }
}

fn tenant() -> Arc<Tenant> {
    let fields = TenantFields::new(
        TenantId(uuid::Uuid::nil()),
        "acme",
        "ws://127.0.0.1:1",
        "k",
        "s".into(),
    );
    Arc::new(Tenant::try_from(fields).unwrap())
}

fn assignment(job: &str) -> Assignment {
    Assignment {
        call_id: CallId::generate(),
        job_id: job.into(),
        room: "room".into(),
        token: "t".into(),
        url: Url::parse("ws://127.0.0.1:1").unwrap(),
    }
}

fn desk(behaviour: Behaviour, process: u32) -> (CallDesk, Arc<Runner>) {
    let runner = Arc::new(Runner {
        behaviour,
        records: Mutex::default(),
    });
    let load = LoadMeter::new(NonZeroU32::new(process).unwrap());
    (CallDesk::new(Arc::clone(&runner) as _, load), runner)
}

const UNLIMITED: Limits = Limits {
    max_calls: None,
    calls_per_second: None,
    max_call_duration: None,
};

fn at_most(max_calls: u32) -> Limits {
    Limits {
        max_calls: NonZeroU32::new(max_calls),
        ..UNLIMITED
    }
}

fn offered(desk: &CallDesk, limits: Limits) -> Result<Permit, Refusal> {
    desk.admit(limits, Instant::now(), Entry::Offer)
}

async fn events(mut line: mpsc::Receiver<JobEvent>) -> Vec<JobEvent> {
    let mut events = Vec::new();
    loop {
        let event = line.recv().await.expect("the job's end was not told");
        let ended = matches!(event, JobEvent::Ended { .. });
        events.push(event);
        if ended {
            return events;
        }
    }
}

fn status(status: JobStatus) -> JobEvent {
    JobEvent::Status {
        job_id: "AJ_1".into(),
        status,
    }
}

fn ended() -> JobEvent {
    JobEvent::Ended {
        job_id: "AJ_1".into(),
    }
}

#[test]
fn of_many_that_ask_at_once_as_many_are_admitted_as_there_are_places() {
    let (desk, _) = desk(Behaviour::Panics, 100);
    let permits: Vec<Permit> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .filter_map(|_| offered(&desk, at_most(3)).ok())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(permits.len(), 3);
    assert_eq!(desk.full(NonZeroU32::new(3)), Some(Refusal::TenantFull));
    // A refused admission gives its place in the process back.
    assert_eq!(desk.load().taken(), 3);
    drop(permits);
    assert_eq!((desk.places(), desk.load().taken()), (Places::default(), 0));
}

#[test]
fn the_process_s_limit_holds_over_tenants() {
    let (one, runner) = desk(Behaviour::Panics, 1);
    let two = CallDesk::new(runner, one.load().clone());
    let _permit = offered(&one, UNLIMITED).unwrap();
    assert_eq!(offered(&two, UNLIMITED).err(), Some(Refusal::ProcessFull));
    assert_eq!(two.full(None), Some(Refusal::ProcessFull));
}

#[test]
fn one_tenant_s_storm_leaves_room_for_another_and_the_refusals_say_why() {
    let (storm, runner) = desk(Behaviour::Panics, 10);
    let calm = CallDesk::new(runner, storm.load().clone());
    let taken: Vec<Permit> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .filter_map(|_| match offered(&storm, UNLIMITED) {
                            Ok(permit) => Some(permit),
                            Err(refusal) => {
                                storm.refused(Instant::now(), TenantId(uuid::Uuid::nil()), refusal);
                                None
                            }
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(taken.len(), 9);
    assert_eq!(storm.refusals(), BTreeMap::from([("tenant_share", 191)]));
    let permit = offered(&calm, UNLIMITED).unwrap();
    assert_eq!(offered(&calm, UNLIMITED).err(), Some(Refusal::ProcessFull));
    assert!(calm.refusals().is_empty());
    drop((permit, taken));
    assert_eq!(storm.load().taken(), 0);
    // Nobody is counted twice as one with calls: the whole thing can be had again.
    let again: Vec<Permit> = (0..20)
        .filter_map(|_| offered(&storm, UNLIMITED).ok())
        .collect();
    assert_eq!(again.len(), 9);
}

#[test]
fn new_calls_come_no_faster_than_the_tenant_may_have_them() {
    let (desk, _) = desk(Behaviour::Panics, 100);
    let limits = Limits {
        calls_per_second: Some(CallsPerSecond::new(1.0).unwrap()),
        ..UNLIMITED
    };
    let now = Instant::now();
    let permits: Vec<_> = (0..3)
        .map(|_| desk.admit(limits, now, Entry::Offer))
        .collect();
    assert!(permits[0].is_ok() && permits[1].is_ok(), "a burst");
    assert_eq!(permits[2].as_ref().err(), Some(&Refusal::TenantRate));
    assert_eq!(desk.load().taken(), 2, "the refused one took no place");
    let second = now + std::time::Duration::from_secs(1);
    let late = desk.admit(limits, second, Entry::LateAssignment);
    assert!(late.is_ok() && desk.admit(limits, second, Entry::Offer).is_ok());
}

#[tokio::test]
async fn a_call_that_panics_fails_its_job_is_recorded_and_frees_its_place() {
    let (desk, runner) = desk(Behaviour::Panics, 1);
    let (line, receiver) = desk.line();
    let permit = offered(&desk, UNLIMITED).unwrap();
    desk.start(tenant(), assignment("AJ_1"), permit, line);
    assert_eq!(
        events(receiver).await,
        [
            status(JobStatus::Running),
            status(JobStatus::Failed("crashed".into())),
            ended()
        ]
    );
    desk.idle().await;
    let records = runner.records.lock();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, CallOutcome::Crashed);
    assert_eq!(records[0].detail.as_deref(), Some("out of cheese"));
    assert!(offered(&desk, UNLIMITED).is_ok());
}

#[tokio::test]
async fn each_step_of_a_job_is_told_once() {
    let (desk, _) = desk(Behaviour::ReportsBySelf, 1);
    let (line, receiver) = desk.line();
    let permit = offered(&desk, UNLIMITED).unwrap();
    desk.start(tenant(), assignment("AJ_1"), permit, line);
    assert_eq!(
        events(receiver).await,
        [
            status(JobStatus::Running),
            status(JobStatus::Success),
            ended()
        ]
    );
}

#[tokio::test]
async fn a_call_that_says_nothing_is_reported_by_its_outcome() {
    for (outcome, said) in [
        (CallOutcome::CallerHungUp, JobStatus::Success),
        (CallOutcome::NoCaller, JobStatus::Failed("no_caller".into())),
    ] {
        let (desk, runner) = desk(Behaviour::UntilStopped(outcome), 1);
        let (line, receiver) = desk.line();
        let permit = offered(&desk, UNLIMITED).unwrap();
        let stop = desk.start(tenant(), assignment("AJ_1"), permit, line);
        stop.cancel();
        assert_eq!(
            events(receiver).await,
            [status(JobStatus::Running), status(said), ended()]
        );
        assert_eq!(runner.records.lock()[0].outcome, outcome);
    }
}

#[tokio::test]
async fn a_call_goes_on_when_its_connection_is_gone_and_a_cut_ends_it() {
    let (desk, runner) = desk(Behaviour::UntilStopped(CallOutcome::Cut), 1);
    let (line, receiver) = desk.line();
    let permit = offered(&desk, UNLIMITED).unwrap();
    desk.start(tenant(), assignment("AJ_1"), permit, line);
    drop(receiver);
    let mut places = desk.watch_places();
    places.wait_for(|p| p.running == 1).await.unwrap();
    assert_eq!(desk.active(), 1);
    desk.cut();
    desk.idle().await;
    assert_eq!(runner.records.lock().len(), 1);
}
