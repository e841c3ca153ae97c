//! The binary as its users meet it, and the arrows between the crates.

mod arrows;
mod bed;
mod commands;
mod prompts;
mod serve;
mod shell;
mod terminal;
mod top;
mod transfer;
