use std::num::NonZeroU32;

use parking_lot::Mutex;
use trunkline_domain::{CallId, TenantFields, TenantId};
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
    let limit = NonZeroU32::new(3);
    let permits: Vec<Permit> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .filter_map(|_| desk.admit(limit).ok())
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
    assert_eq!(desk.full(limit), Some(Refusal::TenantFull));
    // A refused admission gives its place in the process back.
    assert_eq!(desk.load().taken(), 3);
    drop(permits);
    assert_eq!((desk.places(), desk.load().taken()), (Places::default(), 0));
}

#[test]
fn the_process_s_limit_holds_over_tenants() {
    let (one, runner) = desk(Behaviour::Panics, 1);
    let two = CallDesk::new(runner, one.load().clone());
    let _permit = one.admit(None).unwrap();
    assert_eq!(two.admit(None).err(), Some(Refusal::ProcessFull));
    assert_eq!(two.full(None), Some(Refusal::ProcessFull));
}

#[tokio::test]
async fn a_call_that_panics_fails_its_job_is_recorded_and_frees_its_place() {
    let (desk, runner) = desk(Behaviour::Panics, 1);
    let (line, receiver) = desk.line();
    let permit = desk.admit(None).unwrap();
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
    assert!(desk.admit(None).is_ok());
}

#[tokio::test]
async fn each_step_of_a_job_is_told_once() {
    let (desk, _) = desk(Behaviour::ReportsBySelf, 1);
    let (line, receiver) = desk.line();
    let permit = desk.admit(None).unwrap();
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
        let permit = desk.admit(None).unwrap();
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
    let permit = desk.admit(None).unwrap();
    desk.start(tenant(), assignment("AJ_1"), permit, line);
    drop(receiver);
    let mut places = desk.watch_places();
    places.wait_for(|p| p.running == 1).await.unwrap();
    assert_eq!(desk.active(), 1);
    desk.cut();
    desk.idle().await;
    assert_eq!(runner.records.lock().len(), 1);
}
