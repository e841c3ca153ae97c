//! The published contract says what the lookup sends and takes.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_domain::{CallConfigPatch, CallId, SipParticipant};
use uuid::Uuid;

use crate::bed::{request, tenant};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/call-config")
}

fn document(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A schema that is one, by its own draft.
fn schema(name: &str) -> Validator {
    let schema = document(name);
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

static ANSWER: LazyLock<Validator> = LazyLock::new(|| schema("answer.schema.json"));
static REQUEST: LazyLock<Validator> = LazyLock::new(|| schema("request.schema.json"));

fn is_taken(answer: &Value) -> bool {
    CallConfigPatch::parse(answer.to_string().as_bytes()).is_ok()
}

/// Does the schema say of it what the lookup does?
fn verdict(answer: &Value) -> bool {
    let taken = CallConfigPatch::parse(answer.to_string().as_bytes());
    let error = ANSWER.validate(answer).err().map(|e| e.to_string());
    assert_eq!(
        taken.is_ok(),
        error.is_none(),
        "{answer}: {taken:?}, {error:?}"
    );
    taken.is_ok()
}

#[test]
fn every_example_is_taken_with_all_its_fields() {
    let examples = document("answer.schema.json")["examples"].clone();
    let examples = examples.as_array().unwrap();
    assert!(examples.len() >= 8);
    let mut seen = std::collections::BTreeSet::new();
    for example in examples {
        assert!(verdict(example), "{example}");
        let patch = CallConfigPatch::from_value(example.clone()).unwrap();
        assert!(patch.unknown.is_empty(), "{example}");
        seen.extend(example.as_object().unwrap().keys().cloned());
    }
    let properties = document("answer.schema.json")["properties"].clone();
    let listed = properties.as_object().unwrap().keys().cloned();
    assert_eq!(seen, listed.collect(), "each field has an example");
    for example in document("request.schema.json")["examples"]
        .as_array()
        .unwrap()
    {
        assert!(REQUEST.is_valid(example));
    }
}

#[test]
fn bounds_are_the_same_on_both_sides_of_each() {
    let text = |n| "ä".repeat(n);
    for (field, good, bad) in [
        ("systemPrompt", json!(text(65_536)), json!(text(65_537))),
        ("model", json!(text(128)), json!(text(129))),
        ("voice", json!("a"), json!(" ")),
        ("voice", json!(null), json!("")),
        ("startMessage", json!(""), json!("a\u{0}b")),
        ("startMessage", json!(text(4_096)), json!(text(4_097))),
        ("temperature", json!(2), json!(2.000_001)),
        ("temperature", json!(0.0), json!(-0.1)),
        ("firstSpeaker", json!("agent"), json!("Agent")),
        ("greetingInterruptible", json!(false), json!(0)),
        ("language", json!("zh-Hant-TW"), json!("english")),
        ("language", json!("deu"), json!("de_DE")),
        ("noiseReduction", json!("none"), json!("off")),
        (
            "transcription",
            json!({"model": null}),
            json!({"model": ""}),
        ),
        ("transcription", json!(true), json!("yes")),
        ("turnDetection", json!({"type": "server_vad"}), json!({})),
        (
            "turnDetection",
            json!({"type": "semantic_vad", "threshold": 7}),
            json!({"type": "server_vad", "threshold": 7}),
        ),
        (
            "turnDetection",
            json!({"type": "server_vad", "silenceDurationMs": 500.0}),
            json!({"type": "server_vad", "silenceDurationMs": 500.5}),
        ),
        (
            "turnDetection",
            json!({"type": "server_vad", "eagerness": 1}),
            json!({"type": "semantic_vad", "eagerness": 1}),
        ),
        ("turnDetection", json!(null), json!({"type": null})),
        (
            "limits",
            json!({"maxDurationSeconds": 86_400}),
            json!({"maxDurationSeconds": 86_401}),
        ),
        (
            "limits",
            json!({"silenceSeconds": 2}),
            json!({"silenceSeconds": 1}),
        ),
        (
            "limits",
            json!({"silencePrompts": 0}),
            json!({"silencePrompts": -1}),
        ),
        ("limits", json!({}), json!([])),
        (
            "action",
            json!({"type": "talk"}),
            json!({"type": "hang_up"}),
        ),
        ("action", json!(null), json!({"to": "+15551234567"})),
        (
            "action",
            json!({"type": "transfer", "to": " +15 "}),
            json!({"type": "transfer"}),
        ),
        (
            "action",
            json!({"type": "transfer", "to": "sip:a@b"}),
            json!({"type": "transfer", "to": "sip:a@"}),
        ),
        (
            "action",
            json!({"type": "transfer", "to": "tel:911"}),
            json!({"type": "transfer", "to": "911"}),
        ),
        (
            "action",
            json!({"type": "play", "url": "HTTP://a/b"}),
            json!({"type": "play", "url": "ftp://a/b"}),
        ),
        (
            "action",
            json!({"type": "reject", "url": 1}),
            json!({"type": "play", "url": null}),
        ),
        ("metadata", json!({"a": [1]}), json!([1])),
        ("aFieldOfTomorrow", json!([{}]), json!("\u{0}")),
    ] {
        assert!(verdict(&json!({ field: good })), "{field}");
        let is_known = field != "aFieldOfTomorrow";
        assert_eq!(verdict(&json!({ field: bad })), !is_known, "{field}");
    }
    for not_an_object in [json!([]), json!("{}"), json!(null), json!(7)] {
        assert!(!verdict(&not_an_object));
    }
}

/// What the words of the contract say and a schema cannot.
#[test]
fn where_the_schema_and_the_lookup_differ_the_contract_says_so() {
    let padded = json!({"model": format!("  {}  ", "a".repeat(128))});
    assert!(is_taken(&padded) && !ANSWER.is_valid(&padded));
    let much = json!({"metadata": {"a": "x".repeat(4_096)}});
    assert!(!is_taken(&much) && ANSWER.is_valid(&much));
    let no_url = json!({"action": {"type": "play", "url": "http://[1"}});
    assert!(!is_taken(&no_url));
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    assert!(readme.contains("What the schema cannot say"));
}

fn word() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            " ",
            "agent",
            "caller",
            "near_field",
            "none",
            "server_vad",
            "semantic_vad",
            "low",
            "auto",
            "talk",
            "reject",
            "transfer",
            "play",
            "en",
            "pt-BR",
            "x-",
            "+15551234567",
            "+1",
            "tel:12",
            "sip:a@b.example",
            "sips:@",
            "sip:",
            "https://a.example/b",
            "a\u{0}",
            " en ",
            "marin",
        ])
        .prop_map(Value::from),
        "[a-zäß ]{0,40}".prop_map(Value::from),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        word(),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..6_000_i64).prop_map(Value::from),
        (-1.0..3.0_f64).prop_map(Value::from),
        Just(json!(1e300)),
        Just(json!(2.0)),
        Just(json!([])),
    ]
}

fn object(fields: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let field = prop::sample::select(fields);
    prop::collection::btree_map(field, scalar(), 0..4).prop_map(|map| json!(map))
}

fn answer() -> impl Strategy<Value = Value> {
    const INNER: &[&str] = &[
        "type",
        "threshold",
        "prefixPaddingMs",
        "silenceDurationMs",
        "eagerness",
        "model",
        "maxDurationSeconds",
        "silenceSeconds",
        "silencePrompts",
        "to",
        "url",
    ];
    let value = prop_oneof![2 => scalar(), 1 => object(INNER), 2 => typed()];
    // And one that this version does not know.
    let fields: Vec<&str> = CallConfigPatch::FIELDS
        .into_iter()
        .chain(["later"])
        .collect();
    let field = prop::sample::select(fields);
    prop::collection::btree_map(field, value, 1..3).prop_map(|map| json!(map))
}

/// An object whose type is one that there is, so that its other fields are looked at.
fn typed() -> impl Strategy<Value = Value> {
    const KINDS: &[&str] = &["server_vad", "semantic_vad", "transfer", "play"];
    const FIELDS: &[&str] = &[
        "threshold",
        "prefixPaddingMs",
        "silenceDurationMs",
        "eagerness",
        "to",
        "url",
    ];
    (prop::sample::select(KINDS), object(FIELDS)).prop_map(|(kind, mut object)| {
        object["type"] = json!(kind);
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_schema_takes_what_the_lookup_takes_and_nothing_else(answer in answer()) {
        verdict(&answer);
    }
}

#[test]
fn what_is_sent_is_what_the_schema_says() {
    let tenant = tenant(None);
    let hidden = SipParticipant::from_attributes("sip_x", [("sip.ruleID", "SDR_1")]);
    let hidden =
        trunkline_callconfig::CallConfigRequest::new(&tenant, CallId(Uuid::nil()), "room", &hidden);
    let properties = document("request.schema.json")["properties"].clone();
    for request in [request(&tenant), request(&tenant).as_test(), hidden] {
        let sent = serde_json::to_value(&request).unwrap();
        REQUEST.validate(&sent).unwrap();
        for field in sent.as_object().unwrap().keys() {
            assert!(
                properties.get(field).is_some(),
                "{field} is not in the schema"
            );
        }
    }
    assert!(!REQUEST.is_valid(&json!({"version": 2})));
}

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_description_leads_to_the_schemas_and_names_the_same_version() {
    let openapi = document("openapi.json");
    let mut found = Vec::new();
    references(&openapi, &mut found);
    assert!(found.len() >= 6);
    for reference in found {
        match reference.strip_prefix('#') {
            Some(within) => assert!(openapi.pointer(within).is_some(), "{reference}"),
            None => assert!(document(&reference).is_object(), "{reference}"),
        }
    }
    let version = openapi["info"]["version"].as_str().unwrap();
    let major = document("request.schema.json")["properties"]["version"]["const"].clone();
    assert_eq!(version.split('.').next().unwrap(), major.to_string());
    for name in ["request.schema.json", "answer.schema.json"] {
        let id = document(name)["$id"].clone();
        assert!(
            id.as_str().unwrap().contains(&format!(":{major}:")),
            "{name}"
        );
    }
}
