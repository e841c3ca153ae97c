//! End-to-end tests: the targets are in `tests/it`.
