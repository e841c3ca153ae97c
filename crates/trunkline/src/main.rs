//! Answers phone calls for any number of LiveKit projects.

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline::cli::main()
}
