//! End-to-end tests: the real binary, real livekit-servers, a real Postgres.
//! They are in `tests/it`.
