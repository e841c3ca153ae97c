//! Answers phone calls for any number of LiveKit projects.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// For the memory of a call: see docs/engine.md, "What it costs".
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    trunkline::cli::main()
}
