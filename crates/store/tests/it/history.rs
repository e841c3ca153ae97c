//! Who changed what: with our commands and with plain SQL.

use serde_json::{Value, json};
use trunkline_store::{Actor, Enablement, Expected, HistoryEntry, NewTenant, TenantChange};

use crate::bed::{Bed, actor};

async fn history(bed: &Bed, slug: &str) -> Vec<HistoryEntry> {
    let id = bed.store.tenant_id(slug).await.unwrap().unwrap();
    let entries = bed.store.tenant_history(id, None, 100).await.unwrap();
    let mut entries = entries.entries;
    entries.reverse();
    entries
}

fn operations(entries: &[HistoryEntry]) -> Vec<&str> {
    entries.iter().map(|e| e.operation.as_str()).collect()
}

#[tokio::test]
async fn every_change_is_in_the_history_with_who_made_it_and_no_secret_is() {
    let bed = Bed::start().await;
    let mut new = NewTenant::new("acme", "wss://project.example", "key", "one-s3cr3t");
    new.call_config_url = Some("https://backend.example/".into());
    new.call_config_bearer = Some("two-s3cr3t".into());
    let alice = Actor::new("cli:alice");
    let (id, added) = bed.store.add_tenant(new, &alice).await.unwrap();
    let change = TenantChange {
        max_calls: Some(Some(5)),
        livekit_api_secret: Some("three-s3cr3t".into()),
        ..TenantChange::default()
    };
    let any = Expected::Any;
    let changed = bed
        .store
        .update_tenant("acme", change, any, &actor())
        .await
        .unwrap();
    // By somebody with plain SQL; read, and so sealed, which is no change.
    bed.execute(
        "UPDATE tenants SET provider_api_key = 'four-s3cr3t', max_calls = 6,
         call_config_signing_secret = 'five-s3cr3t', fallback_provider = 'openai',
         fallback_provider_api_key = 'six-s3cr3t', apology_audio = 's3cr3t-no-text'",
    )
    .await;
    bed.row("acme").await.tenant.unwrap();
    for enabled in [Enablement::Disabled, Enablement::Enabled] {
        bed.store
            .set_enabled("acme", enabled, any, &actor())
            .await
            .unwrap();
    }
    bed.store
        .remove_tenant("acme", any, &actor())
        .await
        .unwrap();
    bed.execute("DELETE FROM tenants").await;

    let entries = history(&bed, "acme").await;
    assert_eq!(
        operations(&entries),
        [
            "created", "changed", "changed", "disabled", "enabled", "removed", "deleted"
        ]
    );
    let role: String = bed.value("SELECT current_user::text").await;
    let actors: Vec<&str> = entries.iter().map(|e| e.actor.as_str()).collect();
    let test = "test:somebody";
    assert_eq!(actors, ["cli:alice", test, &role, test, test, test, &role]);
    assert_eq!(
        (entries[0].version, entries[1].version),
        (added.0, changed.0)
    );
    assert!(
        entries
            .iter()
            .all(|e| e.tenant_id == id.0 && e.slug == "acme")
    );
    assert_eq!(
        entries[1].changes,
        json!({
            "max_calls": {"old": null, "new": 5},
            "livekit_api_secret": {"changed": true},
        })
    );
    assert_eq!(
        entries[2].changes,
        json!({
            "max_calls": {"old": 5, "new": 6},
            "provider_api_key": {"changed": true},
            "call_config_signing_secret": {"changed": true},
            "fallback_provider": {"old": null, "new": "openai"},
            "fallback_provider_api_key": {"changed": true},
            "apology_audio": {"old": null, "new": "14 bytes"},
        })
    );
    assert_eq!(
        entries[3].changes,
        json!({"enabled": {"old": true, "new": false}})
    );
    assert_eq!(
        entries[5].changes["livekit_api_secret"],
        json!({"changed": true})
    );
    assert_eq!(
        entries[5].changes["apology_audio"],
        json!({"old": "14 bytes", "new": null})
    );
    let all: Value = bed
        .value("SELECT jsonb_agg(to_jsonb(h)) FROM tenant_history AS h")
        .await;
    let (all, hex) = (all.to_string(), hex("s3cr3t"));
    assert!(!all.contains("s3cr3t") && !all.contains(&hex) && !all.contains("_sealed"));
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn a_failed_change_and_one_that_changes_nothing_leave_no_trace() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.execute("UPDATE tenants SET enabled = enabled").await;
    bed.store
        .update_tenant("acme", TenantChange::default(), Expected::Any, &actor())
        .await
        .unwrap();
    sqlx::raw_sql("UPDATE tenants SET max_calls = 0")
        .execute(&bed.sql)
        .await
        .unwrap_err();
    assert_eq!(operations(&history(&bed, "acme").await), ["created"]);
}

#[tokio::test]
async fn who_may_write_tenants_can_neither_leave_the_history_out_nor_rewrite_it() {
    let bed = Bed::start().await;
    let role: String = bed.value("SELECT 'writer_' || current_database()").await;
    bed.execute(&format!(
        "CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE ON tenants TO {role};
         SET ROLE {role};
         INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
         VALUES ('acme', 'wss://a.example', 'key', 'secret');
         RESET ROLE"
    ))
    .await;
    let entries = history(&bed, "acme").await;
    assert_eq!(entries[0].actor, role);
    let mut transaction = bed.sql.begin().await.unwrap();
    for statement in [
        format!("SET LOCAL ROLE {role}"),
        "UPDATE tenants SET max_calls = 2".to_owned(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    let error = sqlx::raw_sql("DELETE FROM tenant_history")
        .execute(&mut *transaction)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
}

#[tokio::test]
async fn the_history_is_read_by_pages_and_outlives_a_truncate() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    for calls in 1..=5 {
        bed.execute(&format!("UPDATE tenants SET max_calls = {calls}"))
            .await;
    }
    bed.execute("TRUNCATE tenants").await;
    let id = bed.store.tenant_id("acme").await.unwrap().unwrap();
    let mut seen = Vec::new();
    let mut before = None;
    for _ in 0..4 {
        let page = bed.store.tenant_history(id, before, 2).await.unwrap();
        before = page.next;
        seen.extend(page.entries.into_iter().map(|e| e.operation));
    }
    assert_eq!(seen.len(), 7);
    assert_eq!((seen[0].as_str(), seen[6].as_str()), ("deleted", "created"));
    assert_eq!(bed.store.tenant_id("nobody").await.unwrap(), None);
}

#[tokio::test]
async fn a_page_is_bounded_by_its_bytes_and_loses_no_entry() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    for n in 0..40 {
        bed.execute(&format!(
            "UPDATE tenants SET default_config =
             jsonb_build_object('systemPrompt', '{n}' || repeat('x', 60000))"
        ))
        .await;
    }
    let id = bed.store.tenant_id("acme").await.unwrap().unwrap();
    // Of a time before anything was bounded.
    bed.execute(&format!(
        "INSERT INTO tenant_history (tenant_id, slug, version, actor, operation, changes)
         VALUES ('{id}', 'acme', 99, 'somebody', 'changed', jsonb_build_object(
             'max_calls', jsonb_build_object('old', 1, 'new', 2),
             'default_config', jsonb_build_object('old', repeat('y', 5000000))))"
    ))
    .await;
    let (mut seen, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = bed.store.tenant_history(id, before, 100).await.unwrap();
        let bytes: usize = page
            .entries
            .iter()
            .map(|e| e.changes.to_string().len())
            .sum();
        assert!((1..=1024 * 1024).contains(&bytes), "{bytes} bytes");
        pages += 1;
        seen.extend(page.entries);
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 42);
    assert!(seen.is_sorted_by(|a, b| a.id > b.id));
    assert!((5..20).contains(&pages), "{pages} pages");
    let huge = &seen[0].changes;
    assert_eq!(huge["max_calls"], json!({"old": 1, "new": 2}));
    assert_eq!(huge["default_config"]["changed"], json!(true));
    assert!(huge["default_config"]["bytes"].as_u64().unwrap() > 5_000_000);
}
