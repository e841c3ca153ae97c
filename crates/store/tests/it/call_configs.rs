//! The last answers of tenants' backends.

use chrono::{DateTime, Utc};
use trunkline_domain::{BackendMark, KnownAnswer, PhoneNumber, TenantId};
use trunkline_store::KnownAnswerKey;
use uuid::Uuid;

use crate::bed::Bed;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
}

fn answer(tenant_id: TenantId, called: &str, text: &str, second: i64) -> KnownAnswer {
    KnownAnswer {
        tenant_id,
        called: PhoneNumber::new(called),
        backend: BackendMark([7; 32]),
        answer: text.to_owned(),
        fetched_at: at(second),
    }
}

async fn all(bed: &Bed) -> Vec<KnownAnswer> {
    let mut after = KnownAnswerKey::at(DateTime::UNIX_EPOCH);
    let mut all = Vec::new();
    // In pages of two.
    while let (page, Some(last)) = bed.store.known_answers(&after, 2).await.unwrap() {
        all.extend(page);
        after = last;
    }
    all.sort_by_key(|answer| answer.answer.clone());
    all
}

#[tokio::test]
async fn the_newest_answer_for_each_number_is_kept_as_it_came() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let acme = bed.row("acme").await.id;
    // What jsonb would refuse or change.
    let odd = r#"{ "a":1, "a":2, "nul":"\u0000" }"#;
    let one = [
        answer(acme, "+1", odd, 5),
        answer(acme, "", r#"{"b":0}"#, 5),
    ];
    bed.store.write_known_answers(&one).await.unwrap();
    let older = [answer(acme, "+1", r#"{"older":1}"#, 4)];
    bed.store.write_known_answers(&older).await.unwrap();
    let mut wanted = one.to_vec();
    assert_eq!(all(&bed).await, wanted);
    wanted[1] = answer(acme, "", r#"{"c":0}"#, 6);
    bed.store.write_known_answers(&wanted[1..]).await.unwrap();
    wanted.push(answer(acme, "+2", r#"{"d":0}"#, 6));
    bed.store.write_known_answers(&wanted[2..]).await.unwrap();
    bed.store.write_known_answers(&[]).await.unwrap();
    assert_eq!(all(&bed).await, wanted);

    assert_eq!(bed.store.delete_known_answers(at(6)).await.unwrap(), 1);
    assert_eq!(all(&bed).await, wanted[1..]);
}

#[tokio::test]
async fn another_url_and_a_removal_end_the_answers_of_that_tenant_alone() {
    for change in [
        "UPDATE tenants SET call_config_url = 'https://b.example/' WHERE slug = 'acme'",
        "UPDATE tenants SET removed_at = now() WHERE slug = 'acme'",
        "DELETE FROM tenants WHERE slug = 'acme'",
    ] {
        let bed = Bed::start().await;
        bed.insert("acme", "secret").await;
        bed.insert("other", "secret").await;
        let (acme, other) = (bed.row("acme").await.id, bed.row("other").await.id);
        let answers = [answer(acme, "+1", "{}", 0), answer(other, "+1", "{}", 0)];
        bed.store.write_known_answers(&answers).await.unwrap();
        bed.execute("UPDATE tenants SET max_calls = 3").await;
        assert_eq!(all(&bed).await.len(), 2, "a change of something else");
        bed.execute(change).await;
        assert_eq!(all(&bed).await, answers[1..], "{change}");
    }
}

#[tokio::test]
async fn answers_of_tenants_that_are_not_are_not_kept() {
    let bed = Bed::start().await;
    let nobody = TenantId(Uuid::from_u128(1));
    let answers = [answer(nobody, "+1", "{}", 0)];
    bed.store.write_known_answers(&answers).await.unwrap();
    assert!(all(&bed).await.is_empty());
    // One that a removal missed by a hair.
    bed.execute(&format!(
        "INSERT INTO call_configs (tenant_id, called, backend_sha256, answer, fetched_at)
         VALUES ('{}', '', decode(repeat('07', 32), 'hex'), '{{}}', now())",
        nobody.0
    ))
    .await;
    assert_eq!(bed.store.delete_known_answers(at(0)).await.unwrap(), 1);
}
