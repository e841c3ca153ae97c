//! The document of `tenant export` and `tenant import`, read without trust.
//!
//! Everything that is wrong is told at once, with the entry and the field. No value is
//! ever repeated: it may be a secret in the wrong place.

use std::collections::HashMap;
use std::path::Path;

use secrecy::SecretString;
use serde_json::{Map, Value};
use trunkline_domain::{ApologyAudio, TenantVersion};
use trunkline_store::{Enablement, Expected, TenantChange, TenantImport};

use super::add::read_apology;
use crate::cli::secret::SecretSource;

/// What the document says that it is.
pub(super) const FORMAT: &str = "trunkline-tenants";

/// Raised when older programs would read it wrongly.
pub(super) const FORMAT_VERSION: u64 = 1;

/// As many tenants as a deployment is meant for. They are imported in one transaction.
const MAX_TENANTS: usize = 10_000;

/// Whether the versions that the document tells count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Checked,
    Ignored,
}

/// A tenant of the document.
#[derive(Debug)]
pub(super) struct Entry {
    index: usize,
    pub(super) import: TenantImport,
}

impl Entry {
    /// For people who look for it.
    pub(super) fn name(&self) -> String {
        name(self.index, Some(&self.import.slug))
    }
}

fn name(index: usize, slug: Option<&str>) -> String {
    match slug {
        Some(slug) => format!("tenants[{index}] ({slug})"),
        None => format!("tenants[{index}]"),
    }
}

/// Reads a document.
///
/// # Errors
/// With all that is wrong with it.
pub(super) fn parse(text: &[u8], versions: Versions) -> Result<Vec<Entry>, Vec<String>> {
    let document: Value = serde_json::from_slice(text)
        .map_err(|error| vec![format!("the document is not JSON: {error}")])?;
    let Value::Object(mut document) = document else {
        return Err(vec![
            "the document must be an object, as `trunkline tenant export` prints it".to_owned(),
        ]);
    };
    let mut problems = Vec::new();
    if document.remove("format").as_ref().and_then(Value::as_str) != Some(FORMAT) {
        problems.push(format!("format must be \"{FORMAT}\""));
    }
    match document.remove("format_version").and_then(|v| v.as_u64()) {
        Some(FORMAT_VERSION) => {}
        Some(newer) if newer > FORMAT_VERSION => problems.push(format!(
            "format_version is {newer}, which a later version of this program made; this one \
             reads {FORMAT_VERSION}"
        )),
        _ => problems.push(format!("format_version must be {FORMAT_VERSION}")),
    }
    let tenants = match document.remove("tenants") {
        Some(Value::Array(tenants)) if tenants.len() <= MAX_TENANTS => tenants,
        Some(Value::Array(tenants)) => {
            problems.push(format!(
                "tenants has {} entries; at most {MAX_TENANTS} are imported at once",
                tenants.len()
            ));
            Vec::new()
        }
        _ => {
            problems.push("tenants must be an array".to_owned());
            Vec::new()
        }
    };
    for field in document.keys() {
        problems.push(format!(
            "{} is no field of the document",
            trunkline_domain::shorten(field, MAX_NAME_CHARS)
        ));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, tenant) in tenants.into_iter().enumerate() {
        let Some(entry) = entry(index, tenant, versions, &mut problems) else {
            continue;
        };
        match seen.insert(entry.import.slug.clone(), index) {
            Some(first) => problems.push(format!(
                "{}: slug is that of tenants[{first}] as well; name a tenant once",
                entry.name()
            )),
            None => entries.push(entry),
        }
    }
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(problems)
    }
}

/// As much of an unknown field's name as is repeated.
const MAX_NAME_CHARS: usize = 64;

/// As much of a slug as is repeated: slugs have 63 characters at most.
const MAX_SLUG_CHARS: usize = 64;

fn entry(
    index: usize,
    tenant: Value,
    versions: Versions,
    problems: &mut Vec<String>,
) -> Option<Entry> {
    let Value::Object(fields) = tenant else {
        problems.push(format!("{}: must be an object", name(index, None)));
        return None;
    };
    let slug = fields.get("slug").and_then(Value::as_str);
    let shown = slug.map(|slug| trunkline_domain::shorten(slug, MAX_SLUG_CHARS).into_owned());
    let before = problems.len();
    let mut reader = Reader {
        fields,
        entry: name(index, shown.as_deref()),
        problems,
    };
    let slug = reader.text("slug");
    if slug.is_none() && reader.problems.len() == before {
        reader.wrong("slug", "is missing: it says whose settings these are");
    }
    let version = reader.take("version", Value::as_i64, "a whole number");
    let import = TenantImport {
        slug: slug.unwrap_or_default(),
        change: reader.change(),
        expected: match version {
            Some(version) if versions == Versions::Checked => {
                Expected::Version(TenantVersion(version))
            }
            _ => Expected::Any,
        },
        had_secrets: reader.texts("secrets").unwrap_or_default(),
        had_apology: matches!(
            reader.optional("apology_audio_bytes", number, "a whole number"),
            Some(Some(_))
        ),
    };
    if version.is_none() && versions == Versions::Checked {
        reader.wrong("version", "is missing, and --check-versions was asked for");
    }
    let unknown: Vec<String> = reader.fields.keys().cloned().collect();
    for field in unknown {
        let field = trunkline_domain::shorten(&field, MAX_NAME_CHARS);
        reader.wrong(
            &field,
            "is no setting of a tenant; `trunkline tenant export` shows all of them",
        );
    }
    (problems.len() == before).then_some(Entry { index, import })
}

/// Takes fields out of an entry. What is left in the end is unknown.
struct Reader<'a> {
    fields: Map<String, Value>,
    entry: String,
    problems: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, problem: &str) {
        self.problems
            .push(format!("{}: {field} {problem}", self.entry));
    }

    /// A field that cannot be taken away.
    fn take<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&Value) -> Option<T>,
        kind: &str,
    ) -> Option<T> {
        let value = self.fields.remove(field)?;
        let read = read(&value);
        if read.is_none() {
            self.wrong(field, &format!("must be {kind}, not {}", kind_of(&value)));
        }
        read
    }

    /// A field that null takes away; whatever else it is, `read` takes.
    fn or_null<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.fields.get(field)?.is_null() {
            self.fields.remove(field);
            return Some(None);
        }
        read(self, field).map(Some)
    }

    fn optional<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&Value) -> Option<T>,
        kind: &str,
    ) -> Option<Option<T>> {
        let kind = format!("{kind} or null");
        self.or_null(field, |reader, field| reader.take(field, read, &kind))
    }

    fn text(&mut self, field: &str) -> Option<String> {
        self.take(field, text, "a text")
    }

    fn texts(&mut self, field: &str) -> Option<Vec<String>> {
        let read = |value: &Value| value.as_array()?.iter().map(text).collect();
        self.take(field, read, "an array of texts")
    }

    fn optional_text(&mut self, field: &str) -> Option<Option<String>> {
        self.optional(field, text, "a text")
    }

    /// A text, or where it is to be read from.
    fn secret(&mut self, field: &str) -> Option<SecretString> {
        match self.fields.remove(field)? {
            Value::String(text) => return Some(text.into()),
            Value::Object(source) => {
                let from = source.get("from").and_then(Value::as_str);
                let named = from.filter(|from| {
                    source.len() == 1 && (from.starts_with("env:") || from.starts_with("file:"))
                });
                let Some(from) = named else {
                    let rule = "must be {\"from\": \"env:NAME\"} or {\"from\": \"file:PATH\"}";
                    self.wrong(field, rule);
                    return None;
                };
                let Ok(source) = from.parse::<SecretSource>();
                match source.read(field) {
                    Ok(secret) => return Some(secret),
                    Err(error) => self.problems.push(format!("{}: {error:#}", self.entry)),
                }
            }
            other => {
                let kind = kind_of(&other);
                let rule = "must be a text, {\"from\": \"env:NAME\"} or {\"from\": \"file:PATH\"}";
                self.wrong(field, &format!("{rule}, not {kind}"));
            }
        }
        None
    }

    fn optional_secret(&mut self, field: &str) -> Option<Option<SecretString>> {
        self.or_null(field, Self::secret)
    }

    /// Where the recording is to be read from.
    fn apology(&mut self, field: &str) -> Option<ApologyAudio> {
        let value = self.fields.remove(field)?;
        let source = value.as_object().filter(|source| source.len() == 1);
        let from = source.and_then(|source| source.get("from")?.as_str());
        let Some(path) = from.and_then(|from| from.strip_prefix("file:")) else {
            self.wrong(field, "must be {\"from\": \"file:PATH\"} or null");
            return None;
        };
        read_apology(Path::new(path))
            .map_err(|error| self.wrong(field, &format!("{error:#}")))
            .ok()
    }

    fn change(&mut self) -> TenantChange {
        const NUMBER: &str = "a whole number";
        let enabled = self.take("enabled", Value::as_bool, "true or false");
        let config = |value: &Value| value.is_object().then(|| value.clone());
        TenantChange {
            slug: None,
            enabled: enabled.map(|enabled| match enabled {
                true => Enablement::Enabled,
                false => Enablement::Disabled,
            }),
            livekit_url: self.text("livekit_url"),
            livekit_api_key: self.text("livekit_api_key"),
            livekit_api_secret: self.secret("livekit_api_secret"),
            agent_names: self.texts("agent_names"),
            deployment: self.optional_text("deployment"),
            call_config_url: self.optional_text("call_config_url"),
            call_config_bearer: self.optional_secret("call_config_bearer"),
            call_config_signing_secret: self.optional_secret("call_config_signing_secret"),
            call_config_deadline_ms: self.take("call_config_deadline_ms", number, NUMBER),
            answer_deadline_ms: self.take("answer_deadline_ms", number, NUMBER),
            default_config: self.take("default_config", config, "an object"),
            provider: self.text("provider"),
            provider_base_url: self.optional_text("provider_base_url"),
            provider_api_key: self.optional_secret("provider_api_key"),
            fallback_provider: self.optional_text("fallback_provider"),
            fallback_provider_base_url: self.optional_text("fallback_provider_base_url"),
            fallback_provider_api_key: self.optional_secret("fallback_provider_api_key"),
            fallback_model: self.optional_text("fallback_model"),
            fallback_voice: self.optional_text("fallback_voice"),
            fallback_transfer_to: self.optional_text("fallback_transfer_to"),
            apology_audio: self.or_null("apology_audio", Self::apology),
            max_calls: self.optional("max_calls", number, NUMBER),
            calls_per_second: self.optional("calls_per_second", Value::as_f64, "a number"),
            max_call_minutes: self.optional("max_call_minutes", number, NUMBER),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<i32> {
    i32::try_from(value.as_i64()?).ok()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(tenants: Value) -> Vec<u8> {
        let document =
            json!({ "format": FORMAT, "format_version": FORMAT_VERSION, "tenants": tenants });
        document.to_string().into_bytes()
    }

    fn problems(document: &[u8]) -> Vec<String> {
        parse(document, Versions::Ignored).unwrap_err()
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_entry_and_field_and_no_value() {
        let told = problems(&document(json!([
            { "slug": "acme", "max_calls": "hunter2", "enabled": null, "livekit_api_secret": 7 },
            "hunter2",
            { "max_call": 1 },
            { "slug": "b", "call_config_bearer": { "from": "hunter2" }, "max_calls": 3_000_000_000_i64 },
            { "slug": "c", "provider_api_key": { "from": "env:TRUNKLINE_NO_SUCH_VARIABLE" } },
            { "slug": "d" },
            { "slug": "d" },
        ])));
        let expected = [
            "tenants[0] (acme): enabled must be true or false, not null",
            "tenants[0] (acme): livekit_api_secret must be a text, {\"from\": \"env:NAME\"} or \
             {\"from\": \"file:PATH\"}, not this number",
            "tenants[0] (acme): max_calls must be a whole number or null, not a text",
            "tenants[1]: must be an object",
            "tenants[2]: slug is missing: it says whose settings these are",
            "tenants[2]: max_call is no setting of a tenant; `trunkline tenant export` shows all of \
             them",
            "tenants[3] (b): call_config_bearer must be {\"from\": \"env:NAME\"} or {\"from\": \
             \"file:PATH\"}",
            "tenants[3] (b): max_calls must be a whole number or null, not this number",
            "tenants[4] (c): provider_api_key: the variable TRUNKLINE_NO_SUCH_VARIABLE is not set, \
             or is no text",
            "tenants[6] (d): slug is that of tenants[5] as well; name a tenant once",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_document_of_another_kind_or_a_later_time_is_refused() {
        assert!(problems(b"{")[0].starts_with("the document is not JSON: EOF"));
        assert!(problems(b"[]")[0].contains("must be an object"));
        let told = problems(br#"{"format": "x", "format_version": 2, "tenant": []}"#);
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[1].contains("a later version"), "{told:?}");
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_away() {
        let entries = document(json!([{ "slug": "acme", "version": 7, "deployment": null }]));
        let entry = &parse(&entries, Versions::Checked).unwrap()[0];
        assert_eq!(entry.import.change.deployment, Some(None));
        assert_eq!(entry.import.change.max_calls, None);
        assert_eq!(entry.import.expected, Expected::Version(TenantVersion(7)));
        let entry = &parse(&entries, Versions::Ignored).unwrap()[0];
        assert_eq!(entry.import.expected, Expected::Any);
    }
}
