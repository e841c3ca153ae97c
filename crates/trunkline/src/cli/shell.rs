//! `trunkline completion` and `trunkline man`: what shells and `man` know of the
//! command line, out of its own description.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, report};

#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        report::script(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where the pages are written; made where it is missing
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let directory = &self.directory;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let pages = write_pages(&command, command.get_name(), directory)?;
        report::result(&format!("{pages} pages are in {}\n", directory.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A page for a command and for each below it: `trunkline-tenant-add.1`.
fn write_pages(command: &Command, name: &str, directory: &Path) -> anyhow::Result<usize> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)
        .context("a page cannot be made")?;
    let path = directory.join(format!("{name}.1"));
    std::fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut pages = 1;
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        pages += write_pages(below, &format!("{name}-{}", below.get_name()), directory)?;
    }
    Ok(pages)
}
