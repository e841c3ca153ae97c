//! Sealing anew with another key.

use secrecy::{ExposeSecret as _, SecretString};
use trunkline_store::{Keyring, Rotation, Store};

use crate::bed::{Bed, open};

/// Keys of which the first seals and the bed's own opens.
struct Changed {
    new: SecretString,
    both: Store,
}

fn changed(bed: &Bed) -> Changed {
    let new = Keyring::generate_key().unwrap();
    let both = format!("{},{}", new.expose_secret(), bed.keys.expose_secret());
    Changed {
        both: open(&bed.url, &both.into(), |_| {}),
        new,
    }
}

fn id(key: &SecretString) -> String {
    key.expose_secret().split(':').next().unwrap().to_owned()
}

async fn rotate(store: &Store) -> Rotation {
    store.rotate_keys(&mut |_| {}).await.unwrap()
}

#[tokio::test]
async fn everything_is_sealed_anew_and_nothing_else_changes() {
    let bed = Bed::start().await;
    // More than are locked at a time.
    bed.execute(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
         SELECT 't' || n, 'wss://livekit.example', 'key', 'secret-' || n
         FROM generate_series(1, 450) AS n",
    )
    .await;
    bed.execute(
        "UPDATE tenants SET provider_api_key = 'model-key',
         fallback_provider_api_key = 'another-key' WHERE slug = 't7'",
    )
    .await;
    bed.store.tenants().await.unwrap();
    let versions = "SELECT sum(version)::bigint FROM tenants";
    let before: i64 = bed.value(versions).await;

    let Changed { new, both } = changed(&bed);
    let mut seen = Vec::new();
    let rotation = both.rotate_keys(&mut |rows| seen.push(rows)).await.unwrap();
    assert_eq!((rotation.resealed, rotation.left.len()), (452, 0));
    assert_eq!(seen, [200, 400, 450]);
    assert_eq!(bed.value::<i64>(versions).await, before);

    let usage = both.key_usage().await.unwrap();
    assert_eq!(
        usage.by_key.into_iter().collect::<Vec<_>>(),
        [(id(&new), 452)]
    );
    // The old key is not needed any more.
    let alone = open(&bed.url, &new, |_| {});
    let row = alone.tenant("t7").await.unwrap().unwrap();
    let tenant = row.tenant.unwrap();
    assert_eq!(tenant.project.api_secret.expose_secret(), "secret-7");
    assert_eq!(rotate(&both).await, Rotation::default(), "nothing is left");
}

#[tokio::test]
async fn a_row_that_ops_hold_open_is_left_and_done_the_next_time() {
    let bed = Bed::start().await;
    bed.insert("acme", "secret").await;
    bed.insert("busy", "secret").await;
    bed.store.tenants().await.unwrap();
    let Changed { new, both } = changed(&bed);

    let mut ops = bed.sql.begin().await.unwrap();
    sqlx::query("UPDATE tenants SET max_calls = 3 WHERE slug = 'busy'")
        .execute(&mut *ops)
        .await
        .unwrap();
    assert_eq!(rotate(&both).await.resealed, 1);
    let usage = both.key_usage().await.unwrap().by_key;
    assert_eq!((usage[&id(&new)], usage[&id(&bed.keys)]), (1, 1));

    ops.commit().await.unwrap();
    assert_eq!(rotate(&both).await.resealed, 1);
    assert_eq!(both.key_usage().await.unwrap().by_key.len(), 1);
    assert_eq!(
        bed.value::<i32>("SELECT max_calls FROM tenants WHERE slug = 'busy'")
            .await,
        3
    );
}

#[tokio::test]
async fn what_does_not_open_stays_and_is_told() {
    let bed = Bed::start().await;
    for slug in ["good", "lost", "swapped"] {
        bed.insert(slug, &format!("secret-of-{slug}")).await;
    }
    bed.store.tenants().await.unwrap();
    bed.execute(
        "UPDATE tenants SET livekit_api_secret_sealed =
             (SELECT livekit_api_secret_sealed FROM tenants WHERE slug = 'good')
         WHERE slug = 'swapped';
         UPDATE tenants SET livekit_api_secret_sealed = '\\x00' WHERE slug = 'lost'",
    )
    .await;
    let sealed = "SELECT md5(string_agg(livekit_api_secret_sealed, '' ORDER BY slug))
                  FROM tenants WHERE slug <> 'good'";
    let before: String = bed.value(sealed).await;

    let Changed { both, .. } = changed(&bed);
    let rotation = rotate(&both).await;
    assert_eq!(rotation.resealed, 1);
    let mut left: Vec<String> = rotation
        .left
        .iter()
        .map(|(slug, problem)| format!("{slug}: {problem}"))
        .collect();
    left.sort();
    assert!(
        left[0].starts_with("lost: livekit_api_secret has the format 0"),
        "{left:?}"
    );
    assert!(
        left[1].starts_with("swapped: livekit_api_secret does not open"),
        "{left:?}"
    );
    assert!(!left.concat().contains("secret-of"));
    assert_eq!(bed.value::<String>(sealed).await, before);
    assert_eq!(both.key_usage().await.unwrap().unknown, 1);
}
