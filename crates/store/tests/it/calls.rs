//! Records of calls.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trunkline_domain::{
    CallDirection, CallId, CallOutcome, CallRecord, CallTimes, ConfigSource, PhoneNumber, TenantId,
};

use crate::bed::Bed;

fn record() -> CallRecord {
    CallRecord {
        id: CallId::generate(),
        tenant_id: TenantId(CallId::generate().0),
        job_id: "AJ_1".into(),
        room: "call-1".into(),
        sip_call_id: Some("SCL_1".into()),
        trunk_id: Some("ST_1".into()),
        direction: Some(CallDirection::Inbound),
        caller: PhoneNumber::new("+15550001111"),
        called: PhoneNumber::new("+15550002222"),
        config_source: Some(ConfigSource::TenantDefault),
        fallback_reason: Some("status 500".into()),
        model: Some("gpt-realtime".into()),
        outcome: CallOutcome::CallerHungUp,
        detail: None,
        started_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
        times: CallTimes {
            joined: Some(Duration::from_millis(11)),
            configured: Some(Duration::from_millis(22)),
            model_ready: Some(Duration::from_millis(33)),
            answered: Some(Duration::from_millis(44)),
            active: Some(Duration::from_millis(55)),
            first_sound: Some(Duration::from_millis(66)),
            ended: Some(Duration::from_millis(77)),
        },
    }
}

#[tokio::test]
async fn a_record_is_kept_with_everything_in_it_for_a_tenant_that_is_gone() {
    let bed = Bed::start().await;
    let record = record();
    bed.store.record_call(&record, "replica-1").await.unwrap();
    let [kept] = &bed.store.recent_calls(10).await.unwrap()[..] else {
        panic!("there is one call");
    };
    assert_eq!((kept.id, kept.tenant_id), (record.id.0, record.tenant_id.0));
    assert_eq!(kept.started_at, record.started_at);
    let texts = [
        Some(kept.replica.as_str()),
        Some(&kept.job_id),
        Some(&kept.room),
        kept.sip_call_id.as_deref(),
        kept.trunk_id.as_deref(),
        kept.direction.as_deref(),
        kept.caller.as_deref(),
        kept.called.as_deref(),
        kept.config_source.as_deref(),
        kept.fallback_reason.as_deref(),
        kept.model.as_deref(),
        Some(&kept.outcome),
        kept.detail.as_deref(),
    ]
    .map(|text| text.unwrap_or("none"));
    assert_eq!(
        texts,
        [
            "replica-1",
            "AJ_1",
            "call-1",
            "SCL_1",
            "ST_1",
            "inbound",
            "+15550001111",
            "+15550002222",
            "tenant_default",
            "status 500",
            "gpt-realtime",
            "caller_hung_up",
            "none",
        ]
    );
    let times = [
        kept.joined_ms,
        kept.configured_ms,
        kept.model_ready_ms,
        kept.answered_ms,
        kept.active_ms,
        kept.first_sound_ms,
        kept.ended_ms,
    ];
    assert_eq!(times.map(Option::unwrap), [11, 22, 33, 44, 55, 66, 77]);
}

#[tokio::test]
async fn a_record_that_is_written_again_replaces_itself() {
    let bed = Bed::start().await;
    let mut record = record();
    bed.store.record_call(&record, "replica-1").await.unwrap();
    record.outcome = CallOutcome::Crashed;
    record.detail = Some("a fault".into());
    record.times.ended = None;
    bed.store.record_call(&record, "replica-2").await.unwrap();
    let calls = bed.store.recent_calls(10).await.unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].outcome, "crashed");
    assert_eq!(calls[0].detail.as_deref(), Some("a fault"));
    assert_eq!(calls[0].replica, "replica-2");
    assert_eq!(calls[0].ended_ms, None);
}

#[tokio::test]
async fn the_latest_calls_come_first_up_to_the_limit() {
    let bed = Bed::start().await;
    let start = record().started_at;
    for seconds in [2, 1, 3] {
        let mut record = record();
        record.started_at = start + Duration::from_secs(seconds);
        record.room = format!("call-{seconds}");
        bed.store.record_call(&record, "replica-1").await.unwrap();
    }
    let calls = bed.store.recent_calls(2).await.unwrap();
    let rooms: Vec<_> = calls.iter().map(|call| call.room.as_str()).collect();
    assert_eq!(rooms, ["call-3", "call-2"]);
}

#[tokio::test]
async fn text_that_the_database_would_refuse_does_not_lose_a_record() {
    let bed = Bed::start().await;
    let mut record = record();
    record.detail = Some("before\0after".into());
    record.started_at = Utc::now();
    bed.store.record_call(&record, "replica-1").await.unwrap();
    let calls = bed.store.recent_calls(1).await.unwrap();
    assert_eq!(calls[0].detail.as_deref(), Some("before\u{fffd}after"));
}
