//! The API's description: it is what is checked in, it has what a description must
//! have, and answers are as it says.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bed::{Answer, Bed};

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&trunkline_admin::api::description()).unwrap());

/// Every operation: method, path, what is said of it.
pub(crate) fn operations() -> Vec<(Method, String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(|(method, operation)| {
                let method = method.to_uppercase().parse().unwrap();
                (method, path.clone(), operation)
            })
        })
        .collect()
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(&path)
            .all(|(want, have)| want.starts_with('{') || want == have)
}

/// Panics when an answer is not as it is described. What is described nowhere is a
/// problem in any case.
pub(crate) fn holds(method: &Method, path: &str, answer: &Answer) {
    if path == "/v1/openapi.json" {
        return;
    }
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let mut candidates: Vec<_> = operations()
        .into_iter()
        .filter(|(of, pattern, _)| of == method && matches(pattern, path))
        .collect();
    // A path without variable parts goes before one with them.
    candidates.sort_by_key(|(_, pattern, _)| pattern.matches('{').count());
    let schema = match candidates.first() {
        None => problem,
        Some((_, _, operation)) => {
            let responses = &operation["responses"];
            let exact = answer.status.to_string();
            let range = format!("{}XX", answer.status / 100);
            let response = [&responses[&exact], &responses[&range]]
                .into_iter()
                .find(|response| response.is_object());
            let response =
                response.unwrap_or_else(|| panic!("{method} {path} may not answer {exact}"));
            match response["content"].as_object() {
                None => {
                    assert_eq!(answer.json, Value::Null);
                    return;
                }
                Some(content) => {
                    let (kind, body) = content.iter().next().unwrap();
                    assert_eq!(answer.kind.as_deref(), Some(kind.as_str()));
                    body["schema"].clone()
                }
            }
        }
    };
    let mut schema = schema;
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&answer.json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{method} {path} answered {:#}, which is not as described: {errors:#?}",
        answer.json
    );
}

#[test]
fn what_is_checked_in_is_what_the_code_says() {
    let checked_in = include_str!("../../../../docs/api/openapi.json");
    assert!(
        checked_in == trunkline_admin::api::description(),
        "docs/api/openapi.json is out of date: run ./dev openapi"
    );
}

#[tokio::test]
async fn it_is_served_to_everybody() {
    let bed = Bed::start().await;
    let url = format!("http://{}/v1/openapi.json", bed.address);
    let answer = bed.send(bed.http.get(url)).await;
    assert_eq!(answer.is(200), *DOCUMENT);
}

#[test]
fn every_operation_is_described_in_full() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    let tags: Vec<&Value> = DOCUMENT["tags"].as_array().unwrap().iter().collect();
    let tags: Vec<&Value> = tags.iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations() {
        let place = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{place}: {id} is there twice");
        assert!(operation["summary"].as_str().is_some(), "{place}");
        for tag in operation["tags"].as_array().unwrap() {
            assert!(tags.contains(&tag), "{place}: tag {tag}");
        }
        let named: BTreeSet<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let described: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, described, "{place}");
        for parameter in parameters {
            assert!(
                parameter["description"].as_str().is_some(),
                "{place}: {parameter}"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{place}"
        );
        for range in ["4XX", "5XX"] {
            let content = &responses[range]["content"];
            assert!(content["application/problem+json"].is_object(), "{place}");
        }
    }
    assert!(ids.len() >= 20);
}

#[test]
fn every_reference_leads_somewhere_and_every_field_says_what_it_is() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.insert(reference);
                }
                map.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(DOCUMENT.pointer(pointer).is_some(), "{reference}");
    }
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        let Some(fields) = schema["properties"].as_object() else {
            continue;
        };
        for (field, described) in fields {
            let has = |value: &Value| value["description"].is_string() || value["$ref"].is_string();
            assert!(
                has(described) || described["oneOf"].is_array(),
                "{name}.{field}"
            );
        }
    }
}
