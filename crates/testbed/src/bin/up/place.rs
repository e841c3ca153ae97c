//! The directory with what another terminal needs, and what to do there.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use trunkline_testbed::bed::Bed;
use trunkline_testbed::private_file::write_private;
use trunkline_testbed::voice;

/// Where `trunkline call` is told to save what it heard.
const HEARD: &str = "heard.wav";

pub(crate) struct Place {
    directory: PathBuf,
    token: String,
}

impl Place {
    /// Makes a token for the API, and writes the files.
    pub(crate) async fn furnish(directory: &Path, bed: &Bed, spare: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let arguments = ["token", "add", "--scope", "admin", "up"];
        let token = bed.product.command(&arguments).await?.trim().to_owned();
        let place = Self {
            directory: directory.to_owned(),
            token,
        };
        let livekit = &bed.project(spare).livekit;
        let lantern = &bed.project("lantern").livekit;
        let (_, new_secret) = livekit.spare_key();
        for (name, text) in [
            ("env", place.variables(bed)?.as_str()),
            ("museum.secret", livekit.api_secret().expose_secret()),
            ("museum.new-secret", new_secret.expose_secret()),
            ("wrong.secret", "this-is-not-the-secret-of-any-project"),
            ("lantern.secret", lantern.api_secret().expose_secret()),
        ] {
            let path = place.directory.join(name);
            write_private(&path, text).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(place)
    }

    /// What a shell reads with `.`: the program on `PATH`, its configuration, and what docs/api wants.
    fn variables(&self, bed: &Bed) -> anyhow::Result<String> {
        let programs = bed.product.program().parent().context("a directory")?;
        let path = format!("{}:$PATH", quoted(&programs.display().to_string())?);
        let more = [
            ("API".to_owned(), bed.product.api_url()),
            ("TOKEN".to_owned(), self.token.clone()),
        ];
        let mut text = format!("export PATH={path}\n");
        for (name, value) in bed.product.environment().iter().chain(&more) {
            text.push_str(&format!("export {name}={}\n", quoted(value)?));
        }
        Ok(text)
    }

    pub(crate) fn what_to_try(&self, bed: &Bed, spare: &str) -> String {
        let here = self.directory.display();
        let museum = bed.project(spare);
        let url = museum.livekit.url();
        let key = museum.livekit.api_key();
        let (new_key, _) = museum.livekit.spare_key();
        let backend = museum.backend.url();
        let number = &bed.projects[0].number;
        let database = bed.product.environment().iter();
        let database = database
            .filter(|(name, _)| name == "TRUNKLINE_DATABASE__URL")
            .map(|(_, value)| value.as_str())
            .next()
            .unwrap_or_default();
        format!(
            "\
trunkline is up. The projects harbour and lantern are onboarded; {spare} waits for you.

In another terminal, in this directory:

  . {here}/env                    # its configuration, and `trunkline` on PATH

look
  trunkline tenant list
  trunkline tenant test harbour   # a check from end to end (SIP: this LiveKit has none)
  curl -s -H \"Authorization: Bearer $TOKEN\" $API/v1/workers     # more: docs/api
  status page: {api}/   with the token {token}
  metrics: {admin}/metrics   log: {log}
ring
  trunkline call harbour --from +4930123456 --to {number} --for 8s --out {here}/{HEARD}
                                  # then h and Enter in this terminal says what was heard;
                                  # h FILE what is in another file
onboard
  trunkline tenant add {spare} --livekit-url {url} --livekit-api-key {key} \\
      --livekit-api-secret-from {here}/museum.secret --call-config-url {backend}
  or with a row, by any client of Postgres: {database}
change
  trunkline tenant set harbour --max-calls 5
rotate the project's key
  trunkline tenant set {spare} --livekit-api-key {new_key} \\
      --livekit-api-secret-from {here}/museum.new-secret
rotate the key that secrets are sealed with
  docs/operations.md, \"Sealing keys\": the keys are in $TRUNKLINE_SEALING__KEYS_FILE;
  r and Enter in this terminal starts trunkline anew with what is in it
break, and mend
  trunkline tenant set lantern --livekit-api-secret-from {here}/wrong.secret
  trunkline tenant list           # refused, and still on the version before: calls go on
  trunkline tenant test lantern
  trunkline tenant set lantern --livekit-api-secret-from {here}/lantern.secret
remove
  trunkline tenant remove {spare}

What each of it means: docs/operations.md. Here: r restarts trunkline when its calls
have ended, h or h FILE says what was heard, q or Ctrl-C ends everything.
",
            api = bed.product.api_url(),
            admin = bed.product.admin_url(),
            log = bed.product.log_path().display(),
            token = self.token,
        )
    }

    /// The words in what `trunkline call` saved: in this file, or where it was told to by what
    /// there is to try. The simulated model's voice is made of tones that carry its words.
    pub(crate) fn what_was_heard(&self, file: Option<&Path>) -> String {
        let path = file.map_or_else(|| self.directory.join(HEARD), Path::to_owned);
        match words_in(&path) {
            Ok(words) if words.is_empty() => format!("There are no words in {}.", path.display()),
            Ok(words) => words,
            Err(error) => format!("{}: {error}", path.display()),
        }
    }
}

fn words_in(path: &Path) -> Result<String, hound::Error> {
    let wav = hound::WavReader::open(path)?;
    let rate = wav.spec().sample_rate;
    let pcm: Vec<i16> = wav.into_samples().collect::<Result<_, _>>()?;
    let lines: Vec<String> = voice::decode(&pcm, rate)
        .iter()
        .map(|heard| {
            let at = heard.at.as_secs_f64();
            format!("{at:6.2} s  {}", heard.text)
        })
        .collect();
    Ok(lines.join("\n"))
}

/// For a shell.
fn quoted(text: &str) -> anyhow::Result<String> {
    Ok(shlex::try_quote(text)
        .context("a variable's value")?
        .into_owned())
}
