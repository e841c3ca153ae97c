//! Events as they happen.

use serde_json::Value;
use trunkline_domain::AccessScope::Read;
use trunkline_domain::CallOutcome;

use crate::bed::{Bed, LIMIT};

/// One reader of events.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(bed: &Bed, token: &str) -> Self {
        let request = bed.request(token, reqwest::Method::GET, "/v1/events");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let read = field("event").map(|name| {
                    let data = serde_json::from_str(field("data").unwrap()).unwrap();
                    (name.to_owned(), data)
                });
                self.text = rest.to_owned();
                match read {
                    Some(read) => return read,
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next of this name that is as wanted.
    async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(LIMIT, async {
            loop {
                let (event, data) = self.next().await;
                if event == name && wanted(&data) {
                    return data;
                }
                seen.push((event, data));
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("no {name} as wanted among {seen:#?}"))
    }
}

#[tokio::test]
async fn a_reader_is_told_everything_as_it_is_and_then_as_it_changes() {
    let bed = Bed::start().await;
    let acme = bed.tenant("acme").await;
    let (id, entered) = bed.live_call(acme, "acme");
    let mut events = Stream::open(&bed, &bed.admin).await;
    let call = events.until("call", |_| true).await;
    assert_eq!(call["id"], id.0.to_string());
    assert_eq!(call["caller"], "…1111");
    let first = events.until("tenant", |_| true).await;
    assert_eq!(first["tenant"], "acme");
    events
        .until("worker", |worker| worker["tenant"] == "acme")
        .await;

    entered.ended(CallOutcome::EndedByOperator);
    let ended = events.until("call_ended", |_| true).await;
    assert_eq!(ended["outcome"], "ended_by_operator");
    bed.execute("UPDATE tenants SET answer_deadline_ms = 5000")
        .await;
    let changed = events
        .until("tenant", |tenant| tenant["version"] != first["version"])
        .await;
    assert_eq!(changed["tenant"], "acme");
    bed.execute("UPDATE tenants SET enabled = false").await;
    events
        .until("worker", |worker| worker["state"] == "disabled")
        .await;
    bed.execute("UPDATE tenants SET removed_at = now()").await;
    let gone = events.until("tenant_gone", |_| true).await;
    assert_eq!(gone["tenant"], "acme");
}

#[tokio::test]
async fn a_token_of_a_tenant_hears_of_that_tenant_only() {
    let bed = Bed::start().await;
    let (acme, other) = (bed.tenant("acme").await, bed.tenant("other").await);
    let token = bed.token("of-acme", Read, Some(acme)).await;
    let mut events = Stream::open(&bed, &token).await;
    let (_, _foreign) = bed.live_call(other, "other");
    let (_, own) = bed.live_call(acme, "acme");
    own.ended(CallOutcome::CallerHungUp);
    let own_only = |data: &Value| {
        let tenant = if data["call"].is_object() {
            &data["call"]
        } else {
            data
        };
        assert_eq!(tenant["tenant"], "acme");
        true
    };
    loop {
        let (name, data) = tokio::time::timeout(LIMIT, events.next()).await.unwrap();
        own_only(&data);
        if name == "call_ended" {
            return;
        }
    }
}

#[tokio::test]
async fn a_token_has_ten_streams_and_another_one_its_own() {
    let bed = Bed::start().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Stream::open(&bed, &bed.admin).await);
    }
    let refused = bed.get(&bed.admin, "/v1/events").await;
    assert!(refused.retry_after.is_some());
    let (kind, problem) = refused.problem(429);
    assert_eq!(kind, "too-many-requests");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .starts_with("10 streams"),
        "{problem}"
    );
    let other = bed.token("other", Read, None).await;
    Stream::open(&bed, &other).await;
}
