//! What is logged, with everything logged that can be.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use trunkline_store::{FeedStatus, NewTenant, OpenError, RowProblem};
use trunkline_testbed::postgres::Postgres;

use crate::bed::{Bed, Beside, LIMIT, actor, reaches};

thread_local! {
    /// What was logged on this thread, which is one test: its runtime has no
    /// other thread. `None`: nobody asked.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Logs at every level, for the whole program: a subscriber for one test alone
/// misses events that another test has come by first, without one.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Log)
            .init();
    });
}

/// What this test logs from here on.
struct Log;

impl Log {
    fn capture() -> Self {
        LOG.set(Some(Vec::new()));
        Self
    }

    fn text(&self) -> String {
        let bytes = LOG.with_borrow(|log| log.clone().unwrap_or_default());
        String::from_utf8(bytes).unwrap()
    }

    fn count(&self, part: &str) -> usize {
        self.text().matches(part).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn statements_are_logged_and_no_value_is() {
    let bed = Bed::start().await;
    bed.insert("by-sql", "hidden-one").await;
    bed.insert("broken", "hidden-two").await;
    let log = Log::capture();

    let mut new = NewTenant::new(
        "by-command",
        "wss://hidden.example",
        "hidden-key",
        "hidden-three",
    );
    new.provider_api_key = Some("hidden-four".into());
    bed.store.add_tenant(new, &actor()).await.unwrap();
    bed.store.tenants().await.unwrap();
    bed.execute("UPDATE tenants SET livekit_api_secret_sealed = '\\x01' WHERE slug = 'broken'")
        .await;
    let problem = bed.row("broken").await.tenant.unwrap_err();
    assert!(
        matches!(&problem, RowProblem::Unsealable(u, _) if u[0].problem == OpenError::Malformed)
    );

    assert!(
        log.count("INSERT INTO tenants") > 0,
        "statements are logged:\n{}",
        log.text()
    );
    assert!(log.count("UPDATE tenants") > 0);
    assert_eq!(log.count("hidden"), 0, "{}", log.text());
}

#[tokio::test]
async fn an_outage_is_one_line_and_its_end_another() {
    let mut server = Postgres::start().await.unwrap();
    let bed = Bed::on(&server).await;
    bed.store.migrate().await.unwrap();
    let log = Log::capture();
    let mut feed = bed.store.feed();
    let mut status = feed.status();
    reaches(&mut feed, &[]).await;

    server.stop().await.unwrap();
    let waiting = Beside::start(async move { feed.next().await });
    // Several attempts fail.
    for _ in 0..4 {
        let away = status.wait_for(|s| matches!(s, FeedStatus::Away { .. }));
        tokio::time::timeout(LIMIT, away).await.unwrap().unwrap();
        tokio::time::timeout(LIMIT, status.changed())
            .await
            .unwrap()
            .unwrap();
    }
    server.start_again().await.unwrap();
    waiting.ended().await;

    assert_eq!(log.count("tenants cannot be read"), 1, "{}", log.text());
    assert_eq!(log.count("the database is back"), 1, "{}", log.text());
}
