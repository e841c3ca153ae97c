//! A quick look at what `./dev bench leaks` measures at length: joins and leaves with every end
//! that a call has.

use std::process::Command;

use serde_json::Value;

/// Enough for every end to come twice, after as many that warm up.
const JOINS: usize = 60;
const WARM_UP: usize = 30;

/// What is still being made once, for the first hundreds of rooms, is in this; a room that stays
/// alive is 78 kB, and one of six is thirteen.
const MOST_HEAP_BYTES: f64 = 6_000.0;

#[test]
fn rooms_that_are_left_leave_nothing_behind_however_they_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["leaks", "--limit-kb", "1000"])
        .args(["--joins", &JOINS.to_string()])
        .args(["--warm-up", &WARM_UP.to_string()])
        .output()
        .expect("the benchmark starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let story = || format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", story());
    let last = text.lines().last().expect("a last line");
    let result: Value = serde_json::from_str(last).expect("JSON");
    for end in result["ends"].as_array().expect("all ends") {
        let bytes = end["heap_bytes_per_room"].as_f64().expect("a number");
        assert!(bytes < MOST_HEAP_BYTES, "{end}\n{}", story());
    }
    for kind in ["tasks", "fds"] {
        let (before, after) = (&result[kind]["before"], &result[kind]["after"]);
        assert!(after.as_u64() <= before.as_u64(), "{kind}: {}", story());
    }
}
