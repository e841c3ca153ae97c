//! Answers phone calls for any number of LiveKit projects.
fn main() {}
