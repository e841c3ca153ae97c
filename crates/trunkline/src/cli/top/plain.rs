//! One picture for scripts and files.

use serde_json::{Value, json};

use super::picture::Picture;
use super::view::View;
use super::words;
use crate::cli::report;

pub(super) fn tables(picture: &Picture) -> String {
    let view = View::new();
    let projects: Vec<Vec<String>> = view
        .shown_projects(picture)
        .iter()
        .map(|worker| words::project_row(worker, picture.at).to_vec())
        .collect();
    let calls: Vec<Vec<String>> = view
        .shown_calls(picture)
        .iter()
        .map(|call| words::call_row(call, picture.at).to_vec())
        .collect();
    let [first, second] = words::head(picture);
    let more = if picture.has_more_workers {
        "and more, which are not shown\n"
    } else {
        ""
    };
    format!(
        "{first}\n{second}\nprojects: {}\n\n{}{more}\n{}",
        words::states(picture),
        report::table(&words::PROJECT_HEAD, &projects),
        report::table(&words::CALL_HEAD, &calls),
    )
}

pub(super) fn json(picture: &Picture) -> Value {
    let now = picture.at;
    let calls: Vec<Value> = picture
        .calls
        .iter()
        .map(|call| {
            json!({
                "id": call.id,
                "tenant": call.tenant,
                "caller": call.caller,
                "called": call.called,
                "started_at": call.started_at,
                "age_s": call.age_s(now),
                "step": call.step,
                "turns": call.turns(),
                "slow": call.slow(now),
            })
        })
        .collect();
    json!({
        "at": now,
        "replica": picture.replica,
        "projects": picture.workers,
        "has_more_projects": picture.has_more_workers,
        "calls": calls,
    })
}
