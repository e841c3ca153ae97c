//! Telling what happens, a JSON object a line.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;
use trunkline_testbed::peer::{Event, What, now_us};

/// Clones tell in the same place.
#[derive(Clone)]
pub(crate) struct Teller(Arc<Mutex<Box<dyn Write + Send>>>);

impl Teller {
    /// Tells in this file, or on standard output.
    pub(crate) fn new(path: Option<&Path>) -> anyhow::Result<Self> {
        let writer: Box<dyn Write + Send> = match path {
            Some(path) => Box::new(
                File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
            ),
            None => Box::new(std::io::stdout()),
        };
        Ok(Self(Arc::new(Mutex::new(writer))))
    }

    /// It happened now.
    pub(crate) fn tell(&self, what: What) -> anyhow::Result<()> {
        self.tell_at(now_us(), what)
    }

    /// It happened then.
    pub(crate) fn tell_at(&self, at_us: u64, what: What) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(&Event { at_us, what })?;
        line.push('\n');
        let mut writer = self.0.lock();
        writer
            .write_all(line.as_bytes())
            .and_then(|()| writer.flush())
            .context("cannot tell what happens")
    }
}
