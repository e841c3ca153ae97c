//! The change feed.

use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trunkline_store::FeedStatus;
use trunkline_testbed::postgres::Postgres;

use crate::bed::{Bed, Beside, LIMIT, NEVER_MS, open, reaches, slugs_of};

/// A reconcile that comes at once.
const SOON_MS: u64 = 50;

#[tokio::test]
async fn every_kind_of_change_wakes_the_feed_without_a_reconcile() {
    let bed = Bed::start().await;
    let mut feed = bed.store.feed();
    reaches(&mut feed, &[]).await;
    bed.insert("acme", "secret").await;
    reaches(&mut feed, &["acme"]).await;
    bed.insert("bolt", "secret").await;
    reaches(&mut feed, &["acme", "bolt"]).await;
    bed.execute("UPDATE tenants SET slug = 'bolt-2' WHERE slug = 'bolt'")
        .await;
    reaches(&mut feed, &["acme", "bolt-2"]).await;
    bed.execute("DELETE FROM tenants WHERE slug = 'acme'").await;
    reaches(&mut feed, &["bolt-2"]).await;
    bed.execute("TRUNCATE tenants").await;
    reaches(&mut feed, &[]).await;
}

#[tokio::test]
async fn a_change_between_two_calls_of_next_is_not_lost() {
    let bed = Bed::start().await;
    let mut feed = bed.store.feed();
    reaches(&mut feed, &[]).await;
    bed.insert("acme", "secret").await;
    bed.insert("bolt", "secret").await;
    reaches(&mut feed, &["acme", "bolt"]).await;
}

#[tokio::test]
async fn sealing_wakes_nobody() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    let mut feed = bed.store.feed();
    // Reads, and so seals.
    reaches(&mut feed, &["acme"]).await;
    // The next picture is of the next change: had sealing sent a notice, it would
    // have come before.
    let next = Beside::start(async move { feed.next().await });
    bed.execute("UPDATE tenants SET enabled = enabled").await;
    bed.insert("bolt", "secret").await;
    let picture = next.ended().await;
    assert_eq!(slugs_of(&picture.tenants), ["acme", "bolt"]);
}

#[tokio::test]
async fn a_missed_notice_is_made_up_for_by_the_reconcile() {
    let bed = Bed::start().await;
    let store = bed.replica(|options| options.reconcile_interval_ms = SOON_MS);
    let mut feed = store.feed();
    reaches(&mut feed, &[]).await;
    bed.execute("DROP TRIGGER tenants_notify ON tenants").await;
    bed.insert("acme", "secret").await;
    reaches(&mut feed, &["acme"]).await;
}

#[tokio::test]
async fn next_may_be_dropped_at_any_point_and_called_again() {
    let bed = Bed::start().await;
    let mut feed = bed.store.feed();
    bed.insert("acme", "secret").await;
    // Dropped at its first poll, over and over, it still gets there.
    let seen = tokio::time::timeout(LIMIT, async {
        loop {
            tokio::select! {
                biased;
                picture = feed.next() => break picture,
                () = tokio::task::yield_now() => {}
            }
        }
    });
    let picture = seen.await.expect("a picture");
    assert_eq!(slugs_of(&picture.tenants), ["acme"]);
}

#[tokio::test]
async fn the_feed_outlives_a_restart_and_a_crash_of_the_database() {
    let mut server = Postgres::start().await.unwrap();
    let bed = Bed::on(&server).await;
    bed.store.migrate().await.unwrap();
    let mut feed = bed.store.feed();
    let mut status = feed.status();
    assert_eq!(*status.borrow(), FeedStatus::Starting);
    reaches(&mut feed, &[]).await;
    assert!(matches!(*status.borrow(), FeedStatus::Connected { .. }));

    for (round, slug) in ["one", "two"].into_iter().enumerate() {
        if round == 0 {
            server.stop().await.unwrap();
        } else {
            server.crash().await.unwrap();
        }
        // Waits through the outage, which it says.
        let waiting = Beside::start(async move {
            feed.next().await;
            feed
        });
        let away = status.wait_for(|s| matches!(s, FeedStatus::Away { .. }));
        tokio::time::timeout(LIMIT, away).await.unwrap().unwrap();
        server.start_again().await.unwrap();
        feed = waiting.ended().await;
        assert!(matches!(*status.borrow(), FeedStatus::Connected { .. }));

        bed.insert(slug, "secret").await;
        // The test's database may forget what it committed when it crashes.
        bed.execute("CHECKPOINT").await;
        let expected: &[&str] = if round == 0 {
            &["one"]
        } else {
            &["one", "two"]
        };
        reaches(&mut feed, expected).await;
    }
}

#[tokio::test]
async fn a_feed_that_starts_before_its_database_waits_for_it_and_for_its_tables() {
    let mut server = Postgres::start().await.unwrap();
    let bed = Bed::on(&server).await;
    server.stop().await.unwrap();
    let mut feed = bed.store.feed();
    let mut status = feed.status();
    let first = Beside::start(async move { feed.next().await });
    let away = status.wait_for(|s| matches!(s, FeedStatus::Away { .. }));
    tokio::time::timeout(LIMIT, away).await.unwrap().unwrap();

    server.start_again().await.unwrap();
    let unmigrated = status.wait_for(
        |s| matches!(s, FeedStatus::Away { reason, .. } if reason.contains("trunkline migrate")),
    );
    tokio::time::timeout(LIMIT, unmigrated)
        .await
        .unwrap()
        .unwrap();

    bed.replica(|_| {}).migrate().await.unwrap();
    let picture = first.ended().await;
    assert!(picture.tenants.is_empty());
}

#[tokio::test]
async fn a_connection_that_dies_in_silence_is_found_out_by_the_reconcile() {
    let bed = Bed::start().await;
    let wire = Wire::to(&bed.url).await;
    let store = open(&wire.url, &bed.keys, |options| {
        options.reconcile_interval_ms = SOON_MS;
        options.query_timeout_ms = 200;
    });
    let mut feed = store.feed();
    let mut status = feed.status();
    reaches(&mut feed, &[]).await;

    wire.freeze();
    let waiting = Beside::start(async move {
        reaches(&mut feed, &["acme"]).await;
    });
    let away = status.wait_for(|s| matches!(s, FeedStatus::Away { .. }));
    tokio::time::timeout(LIMIT, away).await.unwrap().unwrap();
    bed.insert("acme", "secret").await;
    wire.thaw();
    waiting.ended().await;
}

#[tokio::test]
async fn the_feed_follows_a_failover_to_another_server_whose_notices_it_never_heard() {
    let bed = Bed::start().await;
    let wire = Wire::to(&bed.url).await;
    let store = open(&wire.url, &bed.keys, |_| {});
    let mut feed = store.feed();
    let mut status = feed.status();
    bed.insert("acme", "secret").await;
    reaches(&mut feed, &["acme"]).await;

    // The standby has the same tables. While nobody listens to it a row comes and
    // another one goes.
    let standby_server = Postgres::start().await.unwrap();
    let parsed: url::Url = bed.url.parse().unwrap();
    let name = parsed.path().trim_start_matches('/');
    let url = standby_server.create_database(name).await.unwrap();
    let standby = Bed::at(url, &bed.keys);
    standby.store.migrate().await.unwrap();
    standby.insert("bolt", "secret").await;

    let waiting = Beside::start(async move {
        reaches(&mut feed, &["bolt"]).await;
        feed
    });
    wire.move_to(&standby.url);
    let away = status.wait_for(|s| matches!(s, FeedStatus::Away { .. }));
    tokio::time::timeout(LIMIT, away).await.unwrap().unwrap();
    let mut feed = waiting.ended().await;
    // It listens to the new server, and no more to the old one.
    bed.insert("crane", "secret").await;
    standby.insert("dock", "secret").await;
    reaches(&mut feed, &["bolt", "dock"]).await;
}

#[tokio::test]
async fn an_import_row_by_row_ends_with_a_picture_of_all_of_it() {
    let bed = Bed::start().await;
    let mut feed = bed.store.feed();
    reaches(&mut feed, &[]).await;
    for number in 0..50 {
        bed.insert(&format!("t-{number:02}"), "secret").await;
    }
    let slugs: Vec<String> = (0..50).map(|number| format!("t-{number:02}")).collect();
    let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
    reaches(&mut feed, &slugs).await;
}

/// A relay in front of the database. Frozen, it stops carrying bytes on the
/// connections that there are, which stay open, as a firewall does that forgot
/// them; new ones wait until it thaws.
struct Wire {
    url: String,
    frozen: watch::Sender<bool>,
    /// The database's port. When it changes, the connections that there are break.
    target: watch::Sender<u16>,
    _relay: JoinSet<()>,
}

impl Wire {
    async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut parsed: url::Url = url.parse().unwrap();
        let (target, targets) = watch::channel(parsed.port().unwrap());
        parsed
            .set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let (frozen, watch) = watch::channel(false);
        let mut relay = JoinSet::new();
        relay.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut watch = watch.clone();
                let mut targets = targets.clone();
                connections.spawn(async move {
                    watch.wait_for(|frozen| !frozen).await.unwrap();
                    let port = *targets.borrow_and_update();
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        _ = targets.changed() => return,
                        _ = watch.wait_for(|frozen| *frozen) => {}
                    }
                    // Kept open, and silent, for ever.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self {
            url: parsed.into(),
            frozen,
            target,
            _relay: relay,
        }
    }

    /// Another server is behind this address from here on.
    fn move_to(&self, url: &str) {
        let url: url::Url = url.parse().unwrap();
        self.target.send_replace(url.port().unwrap());
    }

    fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

// The reconciles of the other tests are out of the picture.
const _: () = assert!(Duration::from_millis(NEVER_MS).as_secs() > LIMIT.as_secs());
