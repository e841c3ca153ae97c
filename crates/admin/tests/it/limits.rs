//! How much may be asked for.

use std::net::IpAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use trunkline_admin::api::ApiLimits;
use trunkline_domain::AccessScope::Read;

use crate::bed::{Bed, LIMIT, WIDE};

#[tokio::test]
async fn a_token_that_asks_too_much_is_told_to_wait_and_others_are_not() {
    let bed = Bed::with(ApiLimits {
        requests_per_second: 1,
        ..WIDE
    })
    .await;
    let other = bed.token("other", Read, None).await;
    let mut refused = None;
    // Five may come at once; the rate lets one more through now and then.
    for _ in 0..50 {
        let answer = bed.get(&bed.admin, "/v1/self").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("fifty at once are too many");
    assert!(refused.retry_after.is_some());
    assert_eq!(refused.problem(429).0, "too-many-requests");
    bed.get(&other, "/v1/self").await.is(200);
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_not_looked_up_and_who_is_known_goes_on() {
    let bed = Bed::with(ApiLimits {
        failures_per_minute: 3,
        ..WIDE
    })
    .await;
    let late = bed.token("late", Read, None).await;
    bed.get(&bed.admin, "/v1/self").await.is(200);
    let wrong = format!("tl_0123456789ab_{}", "x".repeat(43));
    for _ in 0..3 {
        assert_eq!(
            bed.get(&wrong, "/v1/self").await.problem(401).0,
            "unauthenticated"
        );
    }
    for token in [wrong.as_str(), "nonsense", &late] {
        let refused = bed.get(token, "/v1/self").await;
        assert!(refused.retry_after.is_some());
        assert_eq!(refused.problem(429).0, "too-many-requests");
    }
    bed.get(&bed.admin, "/v1/self").await.is(200);
    // What is not looked up is not written either.
    assert_eq!(bed.audit().await.len(), 3);
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let bed = Bed::start().await;
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(TcpStream::connect(bed.address).await.unwrap());
    }
    // Beyond a quarter of 512 they are closed at once; the others wait for a request.
    for mut refused in streams.split_off(128) {
        let read = tokio::time::timeout(LIMIT, refused.read_u8()).await;
        read.expect("it is closed").unwrap_err();
    }
    let elsewhere = reqwest::Client::builder()
        .no_proxy()
        .local_address(IpAddr::from([127, 0, 0, 2]))
        .build()
        .unwrap();
    let url = format!("http://{}/v1/self", bed.address);
    let answer = elsewhere.get(url).bearer_auth(&bed.admin).send().await;
    assert_eq!(answer.unwrap().status(), 200);
}
