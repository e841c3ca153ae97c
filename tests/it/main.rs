//! End-to-end tests. Each starts what it needs: Postgres, a livekit-server and a
//! simulated backend per project, the simulated model, and the product as a
//! process. A caller is a participant of kind SIP that records what it hears;
//! the model's voice carries its words, so a test says which sentence was heard.

mod api;
mod barge_in;
mod calls;
mod common;
mod conversation;
mod drain;
mod examples;
mod faults;
mod hangup;
mod leaks;
mod lookup;
mod recovery;
mod reload;
mod secrets;
mod storm;
mod tools;
mod top;
mod trouble;
