use std::collections::BTreeMap;
use std::io::Write;

use figment::value::{Dict, Value};
use secrecy::ExposeSecret;
use tempfile::NamedTempFile;

use super::*;

/// 32 bytes in base64, under an id.
const KEY: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn read(toml: &str, env: &[(&str, &str)]) -> Result<Loaded, String> {
    let file = file(toml);
    Loaded::from_sources(Some(file.path()), &vars(env)).map_err(|e| {
        e.to_string()
            .replace(&file.path().display().to_string(), "FILE")
    })
}

#[test]
fn the_defaults_alone_are_a_valid_configuration() {
    let config = Loaded::from_sources(None, &[]).unwrap().config;
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
}

#[test]
fn a_variable_is_over_the_file_and_the_file_over_the_default() {
    let loaded = read(
        "[database]\nmax_connections = 7\nacquire_timeout_ms = 900\n",
        &[("TRUNKLINE_DATABASE__MAX_CONNECTIONS", "9")],
    )
    .unwrap();
    assert_eq!(loaded.config.database.max_connections, 9);
    assert_eq!(loaded.config.database.acquire_timeout_ms, 900);
    assert_eq!(loaded.config.database.reconcile_interval_ms, 30_000);
}

#[test]
fn the_plain_variables_fill_gaps_and_override_nothing() {
    let env = [
        ("DATABASE_URL", "postgres://plain"),
        ("OPENAI_API_KEY", "sk-plain"),
    ];
    let config = read("", &env).unwrap().config;
    assert_eq!(
        config.database.url.unwrap().expose_secret(),
        "postgres://plain"
    );
    assert_eq!(config.provider.api_key.unwrap().expose_secret(), "sk-plain");

    let config = read("[database]\nurl = 'postgres://file'\n", &env)
        .unwrap()
        .config;
    assert_eq!(
        config.database.url.unwrap().expose_secret(),
        "postgres://file"
    );
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let config = read(
        "",
        &[
            ("TRUNKLINE_PROVIDER__API_KEY", "0123"),
            ("TRUNKLINE_REPLICA__NAME", "7"),
        ],
    )
    .unwrap()
    .config;
    assert_eq!(config.provider.api_key.unwrap().expose_secret(), "0123");
    assert_eq!(config.replica.name.unwrap(), "7");
}

#[test]
fn a_number_without_a_default_can_be_set_by_a_variable_and_be_left_empty() {
    let max_calls = |text| {
        let loaded = read("", &[("TRUNKLINE_WORKER__MAX_CALLS", text)]).unwrap();
        loaded.config.worker.max_calls.map(|n| n.get())
    };
    assert_eq!(max_calls("9"), Some(9));
    assert_eq!(max_calls(""), None);
    let config = read("", &[("TRUNKLINE_PROVIDER__API_KEY", "")])
        .unwrap()
        .config;
    assert!(config.provider.api_key.is_none());
}

#[test]
fn an_error_names_the_key_and_where_it_came_from() {
    for (toml, env, message) in [
        (
            "[database]\nmax_connections = \"many\"\n",
            None,
            "database.max_connections (in FILE) must be u32, not string \"many\"",
        ),
        (
            "",
            Some(("TRUNKLINE_SHUTDOWN__GRACE_S", "soon")),
            "shutdown.grace_s (in TRUNKLINE_SHUTDOWN__GRACE_S) must be u64, not string \"soon\"",
        ),
        (
            "",
            Some(("TRUNKLINE_DATABASE__MAX_CONNECTIONS", "0")),
            "database.max_connections (in TRUNKLINE_DATABASE__MAX_CONNECTIONS) must be from 1 to 1000, not 0",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            None,
            "log.format (in FILE) must be one of auto, human, json, not \"xml\"",
        ),
        (
            "[log]\nfilter = \"trunkline=loud\"\n",
            None,
            "log.filter (in FILE) cannot be used: ",
        ),
        (
            "[admin]\nlisten = \"8080\"\n",
            None,
            "admin.listen (in FILE) ",
        ),
        (
            "database = 5\n",
            Some(("TRUNKLINE_DATABASE__URL", "postgres://h/d")),
            "database (in FILE) is a section and cannot have a value itself",
        ),
        (
            "",
            Some(("TRUNKLINE_DATABASE", "postgres://h/d")),
            "database (in TRUNKLINE_DATABASE) is a section and cannot have a value itself",
        ),
        (
            "[worker]\nsilence_limit_ms = 4000\n",
            None,
            "worker.silence_limit_ms (in FILE) must be longer than worker.ping_interval_ms",
        ),
        (
            "",
            Some(("TRUNKLINE_WORKER__PING_INTERVAL_MS", "20000")),
            "worker.silence_limit_ms must be longer than worker.ping_interval_ms (in TRUNKLINE_WORKER__PING_INTERVAL_MS)",
        ),
        (
            "[worker]\nretry_cap_ms = 1\n",
            Some(("TRUNKLINE_WORKER__RETRY_FIRST_MS", "2")),
            "worker.retry_cap_ms (in FILE) must not be less than worker.retry_first_ms (in TRUNKLINE_WORKER__RETRY_FIRST_MS)",
        ),
        (
            "[provider]\nbase_url = \"https://me:pw@example.com\"\n",
            None,
            "provider.base_url (in FILE) must not hold a user name or password",
        ),
    ] {
        let env: Vec<_> = env.into_iter().collect();
        let error = read(toml, &env).unwrap_err();
        assert!(error.contains(message), "{error}\ndoes not say\n{message}");
    }
}

#[test]
fn a_key_of_the_model_that_fits_into_no_header_is_refused_and_not_repeated() {
    for key in [
        "hunter2\nsecond-line",
        "hunter2 x",
        "hunter2\u{7}",
        "hünter2",
    ] {
        let error = read("", &[("TRUNKLINE_PROVIDER__API_KEY", key)]).unwrap_err();
        assert!(
            error.contains(
                "provider.api_key (in TRUNKLINE_PROVIDER__API_KEY) must be 1 to 4096 visible ASCII"
            ),
            "{error}"
        );
        assert!(!error.contains("nter2"), "{error}");
    }
}

#[test]
fn a_misspelt_key_is_an_error_that_lists_the_known_ones() {
    let error = read("[database]\nurll = \"postgres://h/d\"\n", &[]).unwrap_err();
    assert!(
        error.contains("database.urll (in FILE) is not a known key; there are url, url_file, "),
        "{error}"
    );
    let error = read("", &[("TRUNKLINE_DATABASE_URL", "postgres://h/d")]).unwrap_err();
    assert!(
        error.contains("database_url (in TRUNKLINE_DATABASE_URL) is not a known key"),
        "{error}"
    );
}

#[test]
fn a_variable_of_ours_that_is_no_text_is_not_taken_for_one_that_is_not_set() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let broken = |name: &str| (OsString::from(name), OsString::from_vec(vec![b'x', 0xff]));
    let error = environment::texts([broken("TRUNKLINE_DATABASE__URL")].into_iter()).unwrap_err();
    assert_eq!(
        error.problems[0].to_string(),
        "database.url (in TRUNKLINE_DATABASE__URL) is not valid UTF-8"
    );
    let others = [
        broken("PS1"),
        broken("TRUNKLINE_CONFIG"),
        broken("TRUNKLINE_PORT"),
    ];
    assert_eq!(environment::texts(others.into_iter()).unwrap(), []);
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_are_left_alone() {
    read(
        "",
        &[
            ("TRUNKLINE_SERVICE_HOST", "10.0.0.1"),
            ("TRUNKLINE_SERVICE_PORT_HTTP", "8080"),
            ("TRUNKLINE_PORT", "tcp://10.0.0.1:8080"),
            ("TRUNKLINE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("TRUNKLINE_ADMIN_SERVICE_HOST", "10.0.0.1"),
        ],
    )
    .unwrap();
}

#[test]
fn a_secret_is_read_from_the_file_that_is_named_for_it() {
    let secret = file(&format!("  {KEY}\n"));
    let path = secret.path().to_str().unwrap();
    let config = read("", &[("TRUNKLINE_SEALING__KEYS_FILE", path)])
        .unwrap()
        .config;
    assert_eq!(config.sealing.keys.unwrap().expose_secret(), KEY);

    let both = read(
        "[sealing]\nkeys = 'k2:x'\n",
        &[("TRUNKLINE_SEALING__KEYS_FILE", path)],
    );
    assert!(
        both.unwrap_err()
            .contains("sealing.keys (in FILE) is set, and sealing.keys_file as well")
    );

    let empty = file(" \n");
    let error = read(
        "",
        &[(
            "TRUNKLINE_DATABASE__URL_FILE",
            empty.path().to_str().unwrap(),
        )],
    );
    assert!(error.unwrap_err().contains("is empty"));
    let error = read("[database]\nurl_file = '/nowhere/at/all'\n", &[]).unwrap_err();
    assert!(
        error.contains("database.url_file (in FILE) /nowhere/at/all: cannot be read"),
        "{error}"
    );
}

#[test]
fn neither_an_error_nor_show_nor_debug_holds_a_secret() {
    // 32 bytes in base64: hunter2, again and again.
    let sealing_key = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnQ=";
    let sealing_keys = format!("2026:{sealing_key}");
    let env = [
        ("TRUNKLINE_PROVIDER__API_KEY", "hunter2"),
        ("TRUNKLINE_SEALING__KEYS", sealing_keys.as_str()),
    ];
    let loaded = read("[database]\nurl = 'postgres://u:hunter2@h/d'\n", &env).unwrap();
    let shown = loaded.show();
    assert!(!shown.contains("hunter2"), "{shown}");
    let debug = format!("{:?}", loaded.config);
    assert!(!debug.contains("hunter2"), "{debug}");
    for text in [&shown, &debug] {
        assert!(!text.contains(sealing_key), "{text}");
    }
    assert!(shown.contains("database.url = \"[set]\""), "{shown}");
    assert!(
        shown.contains("provider.api_key = \"[set]\"  # TRUNKLINE_PROVIDER__API_KEY"),
        "{shown}"
    );

    for toml in [
        "[database]\nurl = 'mysql://u:hunter2@h/d'\n",
        "[database]\nurl = ['hunter2']\n",
        "[database]\nurl = 'postgres://u:hunter2@h/d\n",
        "[sealing]\nkeys = 'hunter2'\n",
        "[sealing]\nkeys = { hunter2 = 'hunter2' }\n",
        "[provider]\nbase_url = 'https://u:hunter2@h/d'\n",
        "database = 'postgres://u:hunter2@h/d'\n",
    ] {
        let error = read(toml, &[]).unwrap_err();
        assert!(!error.contains("hunter2"), "{toml}\n{error}");
    }
}

#[test]
fn what_show_prints_can_be_read_again() {
    let loaded = read("[worker]\nmax_calls = 3\n", &[]).unwrap();
    let again = read(&loaded.show(), &[]).unwrap();
    assert_eq!(
        format!("{:?}", again.config),
        format!("{:?}", loaded.config)
    );
}

#[test]
fn a_command_for_the_keys_is_checked_and_is_the_only_source() {
    let error = read("[sealing]\nkeys_command = 'vault \"'\n", &[]).unwrap_err();
    assert!(
        error.contains("sealing.keys_command (in FILE) must be a program with its arguments"),
        "{error}"
    );
    let error = read(
        &format!("[sealing]\nkeys = '{KEY}'\nkeys_command = 'vault'\n"),
        &[],
    );
    let error = error.unwrap_err();
    assert!(
        error.contains("sealing.keys (in FILE) is set, and sealing.keys_command as well"),
        "{error}"
    );
}

#[tokio::test]
async fn serve_asks_for_what_it_cannot_do_without() {
    let config = read("", &[]).unwrap().config;
    let opened = crate::wiring::open_store(&config).await;
    let error = opened.unwrap_err().to_string();
    assert!(
        error.contains(
            "database.url is not set. Set TRUNKLINE_DATABASE__URL or TRUNKLINE_DATABASE__URL_FILE, \
             or database.url in the configuration file"
        ),
        "{error}"
    );
    assert!(error.contains("sealing.keys is not set"), "{error}");
}

/// `section.key` and default, out of the tables of the documentation.
fn documented() -> BTreeMap<String, String> {
    include_str!("../../../../docs/configuration.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let key = cells.next()?.trim_end().trim_end_matches('`').to_owned();
            Some((key, cells.next()?.trim().trim_matches('`').to_owned()))
        })
        .collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let mut keys = Vec::new();
    let defaults = Value::serialize(Config::default()).unwrap();
    show::walk(defaults.as_dict().unwrap(), "", &mut keys);
    let mut keys: Vec<String> = keys.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    assert_eq!(documented().into_keys().collect::<Vec<_>>(), keys);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let toml: String = documented()
        .into_iter()
        .filter(|(_, default)| default != "–")
        .map(|(key, default)| format!("{key} = {default}\n"))
        .collect();
    let config = read(&toml, &[]).unwrap().config;
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    // A key whose default is not documented must have none.
    let defaults: Dict =
        figment::Figment::from(figment::providers::Serialized::defaults(Config::default()))
            .extract()
            .unwrap();
    let mut leaves = Vec::new();
    show::walk(&defaults, "", &mut leaves);
    for (key, value) in leaves {
        assert_eq!(
            documented()[&key] == "–",
            matches!(value, Value::Empty(..)),
            "{key}"
        );
    }
}

#[test]
fn the_example_file_is_valid_and_so_is_every_line_that_it_comments_out() {
    let example = include_str!("../../../../deploy/trunkline.example.toml");
    read(example, &[]).unwrap();
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix("#") {
            // `#key = value` is a setting, `# text` is a comment.
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let error = read(&uncommented, &[]).map(|_| ()).unwrap_err();
    // Only that the same secret is given twice, as value and as file.
    for line in error.lines().skip(1) {
        assert!(
            line.contains("as well; keep one of them") || line.contains("cannot be read"),
            "{line}"
        );
    }
}
