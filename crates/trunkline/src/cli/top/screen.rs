//! Draws the view.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table};

use super::picture::{Clean, Picture};
use super::view::{Pane, Place, Sort, Typing, View};
use super::words;

/// Borders and the head of a table.
const FRAME_LINES: u16 = 3;

/// Lines of projects beside those of calls, at most: what is in trouble is on top.
const MAX_PROJECT_LINES: u16 = 12;

const TROUBLE: Style = Style::new().fg(Color::Yellow);
const ERROR: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().fg(Color::DarkGray);

/// `address`: where the picture comes from. `now`: for how long there is none.
pub(super) fn draw(frame: &mut Frame, view: &mut View, address: &str, now: DateTime<Utc>) {
    let picture = view.picture.clone();
    let projects = picture.as_ref().map_or(0, |p| p.workers.len());
    let wanted = u16::try_from(projects)
        .unwrap_or(MAX_PROJECT_LINES)
        .clamp(1, MAX_PROJECT_LINES)
        + FRAME_LINES;
    let [head, top, bottom, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(wanted.min(frame.area().height / 2)),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, view, picture.as_ref(), address, now);
    if let Some(picture) = &picture {
        draw_projects(frame, top, view, picture);
        draw_calls(frame, bottom, view, picture);
    }
    frame.render_widget(Paragraph::new(foot_line(view)), foot);
}

fn draw_head(
    frame: &mut Frame,
    area: Rect,
    view: &View,
    picture: Option<&Picture>,
    address: &str,
    now: DateTime<Utc>,
) {
    let mut lines: Vec<Line> = match picture {
        Some(picture) => {
            let [first, second] = words::head(picture);
            let strained = picture.replica.resources.as_ref();
            let is_strained = strained.is_some_and(|used| used.strained.is_some());
            let style = if is_strained { ERROR } else { Style::new() };
            vec![Line::styled(first, HEAD), Line::styled(second, style)]
        }
        None => vec![
            Line::styled(format!("asking {address} …"), HEAD),
            Line::raw(""),
        ],
    };
    lines.push(match (&view.trouble, picture) {
        (Some((problem, since)), _) => {
            let seconds = (now - *since).num_seconds().max(0);
            // The server's words are among it.
            let problem = Clean::new(problem);
            Line::styled(format!("for {seconds} s: {problem}"), ERROR)
        }
        (None, Some(picture)) => Line::raw(format!("projects: {}", words::states(picture))),
        (None, None) => Line::raw(""),
    });
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_projects(frame: &mut Frame, area: Rect, view: &mut View, picture: &Picture) {
    let shown = view.shown_projects(picture);
    let rows: Vec<Row> = visible(&mut view.projects, shown.len(), area)
        .map(|index| {
            let worker = shown[index];
            let style = if worker.is_in_trouble() {
                TROUBLE
            } else {
                Style::new()
            };
            Row::new(words::project_row(worker, picture.at)).style(style)
        })
        .collect();
    let more = if picture.has_more_workers { "+" } else { "" };
    let title = format!(
        "Projects {}{more}, {}",
        shown.len(),
        order(view.projects.sort, "calls")
    );
    let widths = [
        Constraint::Max(24),
        Constraint::Length(20),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(words::PROJECT_HEAD).style(HEAD))
        .block(block(title, view.pane == Pane::Projects));
    frame.render_widget(table, area);
}

fn draw_calls(frame: &mut Frame, area: Rect, view: &mut View, picture: &Picture) {
    let shown = view.shown_calls(picture);
    let rows: Vec<Row> = visible(&mut view.calls, shown.len(), area)
        .map(|index| {
            let call = shown[index];
            let is_slow = !call.slow(picture.at).is_empty();
            let style = if is_slow { TROUBLE } else { Style::new() };
            Row::new(words::call_row(call, picture.at)).style(style)
        })
        .collect();
    let title = format!("Calls {}, {}", shown.len(), order(view.calls.sort, "age"));
    let widths = [
        Constraint::Max(24),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(6),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(words::CALL_HEAD).style(HEAD))
        .block(block(title, view.pane == Pane::Calls));
    frame.render_widget(table, area);
}

/// The lines that are in sight.
fn visible(place: &mut Place, lines: usize, area: Rect) -> std::ops::Range<usize> {
    let room = usize::from(area.height.saturating_sub(FRAME_LINES));
    place.settle(lines, room);
    place.first..lines.min(place.first + room)
}

fn block(title: String, has_keys: bool) -> Block<'static> {
    let style = if has_keys { HEAD } else { FAINT };
    Block::new()
        .borders(Borders::ALL)
        .border_style(style)
        .title(title)
}

fn order(sort: Sort, most: &str) -> String {
    match sort {
        Sort::Trouble => "trouble first".to_owned(),
        Sort::Tenant => "by tenant".to_owned(),
        Sort::Most => format!("by {most}"),
    }
}

fn foot_line(view: &View) -> Line<'static> {
    let filter = Clean::new(&view.filter);
    match view.typing {
        Typing::Filter => Line::from(vec![
            Span::styled(format!("/{filter}"), HEAD),
            Span::raw("  Enter keep  Esc all"),
        ]),
        Typing::Keys if filter.as_str().is_empty() => {
            Line::raw("q quit  Tab other table  ↑↓ PgUp PgDn move  s sort  / filter by tenant")
        }
        Typing::Keys => Line::raw(format!(
            "only tenants with {filter}: Esc all  q quit  Tab other table  s sort"
        )),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::super::picture::tests::{START, call};
    use super::super::picture::{Replica, Worker};
    use super::*;

    fn picture(calls: usize) -> Picture {
        let replica: Replica = serde_json::from_value(json!({
            "name": "web-1", "version": "0.1.0", "phase": "running", "active_calls": calls,
            "max_calls": 200, "tenants": { "registered": 1, "credentials_refused": 1 },
            "resources": {
                "cpus": 2.0, "cpu_used_ratio": 0.25, "process_cores_per_call": 0.0125,
                "event_loop_delay_ms": 0.3, "memory_used_ratio": 0.5, "resident_bytes": 60_000_000,
                "descriptors_used_ratio": 0.01, "strained": null,
            },
        }))
        .unwrap();
        let worker = |tenant: &str, state: &str, reason: Option<&str>| -> Worker {
            serde_json::from_value(json!({
                "tenant": tenant, "state": state, "reason": reason, "since": START,
                "active_calls": 1, "restarts": 0,
            }))
            .unwrap()
        };
        Picture {
            at: START + TimeDelta::seconds(95),
            replica,
            workers: vec![
                worker("acme", "registered", None),
                worker(
                    "harbour",
                    "credentials_refused",
                    Some("the key \u{1b}[31mis wrong"),
                ),
            ],
            has_more_workers: false,
            calls: (0..calls)
                .map(|n| {
                    let slow = if n == calls - 1 { 2_400 } else { 400 };
                    let steps = [
                        ("assigned", 0),
                        ("joined", 90),
                        ("configured", 90 + slow),
                        ("model_ready", 100 + slow),
                        ("answered", 200 + slow),
                        ("active", 250 + slow),
                        ("first_sound", 300 + slow),
                    ];
                    call(&format!("tenant-{n:02}"), &steps)
                })
                .collect(),
        }
    }

    fn drawn(view: &mut View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let now = START + TimeDelta::seconds(100);
        terminal
            .draw(|frame| draw(frame, view, "http://127.0.0.1:8081", now))
            .unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn trouble_stands_first_and_is_told() {
        let mut view = View::new();
        view.take(Ok(picture(3)), START);
        let screen = drawn(&mut view, 110, 24);
        for says in [
            "web-1  running  trunkline 0.1.0  3 calls of 200",
            "CPU 25 % of 2.0, process / calls 1.2 % of a core",
            "projects: 1 credentials_refused, 1 registered",
            "lookup 2.4 s",
            "1m35s",
            "…1111",
            "/ filter by tenant",
        ] {
            assert!(screen.contains(says), "{says:?} is not in\n{screen}");
        }
        let place = |text: &str| screen.find(text).unwrap();
        assert!(place("harbour") < place("acme"), "{screen}");
        assert!(place("tenant-02") < place("tenant-00"), "{screen}");
        assert!(!screen.contains('\u{1b}'));
    }

    #[test]
    fn a_small_screen_scrolls_and_the_smallest_does_not_fail() {
        let mut view = View::new();
        view.take(Ok(picture(40)), START);
        let screen = drawn(&mut view, 80, 20);
        assert!(
            screen.contains("tenant-39") && !screen.contains("tenant-38"),
            "{screen}"
        );
        view.calls.first = usize::MAX;
        let screen = drawn(&mut view, 80, 20);
        assert!(screen.contains("tenant-38"), "{screen}");
        for (width, height) in [(1, 1), (5, 3), (200, 4), (3, 60)] {
            drawn(&mut view, width, height);
        }
    }

    #[test]
    fn a_filter_leaves_its_tenants_and_is_shown() {
        let mut view = View::new();
        view.take(Ok(picture(3)), START);
        view.filter = "acm".to_owned();
        let screen = drawn(&mut view, 100, 24);
        assert!(
            screen.contains("acme") && !screen.contains("tenant-"),
            "{screen}"
        );
        assert!(screen.contains("only tenants with acm"), "{screen}");
    }

    #[test]
    fn a_lost_api_is_a_line_above_what_was_known() {
        let mut view = View::new();
        view.take(Err(anyhow::anyhow!("the API does not answer")), START);
        let screen = drawn(&mut view, 80, 10);
        assert!(screen.contains("asking http://127.0.0.1:8081"), "{screen}");
        assert!(
            screen.contains("for 100 s: the API does not answer"),
            "{screen}"
        );
        view.take(Ok(picture(1)), START);
        view.take(
            Err(anyhow::anyhow!("away again")),
            START + TimeDelta::seconds(90),
        );
        let screen = drawn(&mut view, 100, 24);
        assert!(screen.contains("for 10 s: away again"), "{screen}");
        assert!(screen.contains("tenant-00"), "{screen}");
    }
}
