//! `trunkline top`: projects and calls, live in the terminal.
//!
//! - `client`: asks the API, and trusts nothing of what it says.
//! - `picture`: what was told at one moment, and what is slow in it.
//! - `view`: how somebody looks at it: order, filter, place. Pure.
//! - `screen`: draws it.
//! - `live`: the loop that brings them together.
//! - `words`: the picture in words.
//! - `plain`: one picture for scripts and files.

mod client;
mod live;
mod picture;
mod plain;
mod screen;
mod view;
mod words;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use url::Url;

use super::report;
use super::secret::{SecretSource, given_or_asked};
use client::Client;

/// The variable that holds the token where no source is named.
const TOKEN_VARIABLE: &str = "TRUNKLINE_API_TOKEN";
const TOKEN_OPTION: &str = "--token-from";

/// Shows the replica that answers: its CPU, event loop and memory, its projects with what is wrong,
/// and its calls with how far each is and what took long. It asks the API, with a token of scope
/// read, once a second. Other replicas are asked by their own addresses.
///
/// Keys: q quit, Tab the other table, arrows, PgUp and PgDn move, s sort, / filter by tenant.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  TRUNKLINE_API_TOKEN=$(trunkline token add --scope read top) trunkline top
  trunkline top --api https://replica-1.example:8081 --token-from ./read.token
  trunkline top --once --json | jq '.calls[] | select(.slow != [])'")]
pub(super) struct Arguments {
    /// Where the API is
    #[arg(
        long,
        env = "TRUNKLINE_API_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    api: Url,
    /// Where the API's token is: PATH, -, env:NAME or prompt. Left out: the variable
    /// TRUNKLINE_API_TOKEN, or asked for at the terminal
    #[arg(long, value_name = "SOURCE")]
    token_from: Option<SecretSource>,
    /// Print one picture as a table and end, as without a terminal
    #[arg(long)]
    once: bool,
    /// Print one picture as JSON and end
    #[arg(long, requires = "once")]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let from_variable = std::env::var_os(TOKEN_VARIABLE)
            .map(|_| SecretSource::Variable(TOKEN_VARIABLE.to_owned()));
        let source = given_or_asked(self.token_from.or(from_variable), TOKEN_OPTION)?;
        let client = Client::new(self.api, source.read_to_use(TOKEN_OPTION)?)?;
        if self.once || !std::io::stdout().is_terminal() {
            let picture = client.picture().await?;
            if self.json {
                report::json(&plain::json(&picture))?;
            } else {
                report::result(&plain::tables(&picture))?;
            }
        } else {
            live::run(&client).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
