//! `GET /healthz`: 200 while the process answers. It says nothing about the
//! database or LiveKit: to restart this process would mend neither, and would
//! cut its calls.

pub(super) async fn get() -> &'static str {
    "ok\n"
}
