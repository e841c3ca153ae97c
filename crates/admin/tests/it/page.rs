//! The status page in a browser.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::header::CONTENT_SECURITY_POLICY;
use trunkline_call::{CallStep, Entered, Progress};
use trunkline_domain::AccessScope::{Operator, Read};
use trunkline_domain::{CallOutcome, CallTimes, TenantId};
use trunkline_store::{Actor, NewTenant};
use trunkline_testbed::chromium::{Chromium, Colours, Window};
use trunkline_testbed::worker_endpoint::WorkerEndpoint;

use crate::bed::Bed;

const DESK: Window = Window {
    width: 1280,
    height: 800,
};

/// The narrowest phone that is common.
const PHONE: Window = Window {
    width: 375,
    height: 740,
};

/// A reader at the page.
struct Reader {
    browser: Chromium,
    bed: Bed,
}

impl Reader {
    /// `None`: there is no browser here.
    async fn at_the_page(test: &str) -> Option<Self> {
        let browser = Chromium::or_skip(test).await?;
        let bed = Bed::start().await;
        let mut reader = Self { browser, bed };
        reader.browser.look(DESK, Colours::Light).await.unwrap();
        reader.open("/").await;
        Some(reader)
    }

    async fn open(&mut self, path: &str) {
        let url = format!("http://{}{path}", self.bed.address);
        self.browser.open(&url).await.unwrap();
    }

    async fn sign_in(&mut self, token: &str) {
        self.until("document.querySelector('#token')").await;
        self.evaluate("document.querySelector('#token').focus()")
            .await;
        self.browser.write(token).await.unwrap();
        self.browser.press("Enter").await.unwrap();
    }

    async fn is_live(&mut self) {
        self.until("document.querySelector('#link.good')").await;
    }

    async fn until(&mut self, expression: &str) {
        self.browser.until(expression).await.unwrap();
    }

    async fn shows(&mut self, text: &str) {
        self.browser.shows(text).await.unwrap();
    }

    async fn shows_no(&mut self, text: &str) {
        let gone = format!("!document.body.innerText.includes('{text}')");
        self.until(&gone).await;
    }

    async fn evaluate(&mut self, expression: &str) -> serde_json::Value {
        self.browser.evaluate(expression).await.unwrap()
    }

    async fn press(&mut self, keys: &[&str]) {
        for key in keys {
            self.browser.press(key).await.unwrap();
        }
    }

    /// Clicks on the link or button that has this text.
    async fn click(&mut self, text: &str) {
        let found = format!(
            "[...document.querySelectorAll('a, button')].find((it) => it.innerText.includes('{text}'))"
        );
        self.until(&found).await;
        self.evaluate(&format!("{found}.click()")).await;
    }

    /// Nothing is wider than the window. (A phone's browser would make `innerWidth` wider.)
    async fn fits(&mut self, Window { width, .. }: Window) {
        let wide = format!(
            "[...document.querySelectorAll('body *')].filter((it) => \
             it.getBoundingClientRect().right > {width} + 1).map((it) => it.outerHTML)"
        );
        let scroll = format!("document.documentElement.scrollWidth <= {width}");
        let fits = self.evaluate(&scroll).await;
        assert_eq!(fits, true, "too wide: {}", self.evaluate(&wide).await);
    }

    /// Writes a picture where `TRUNKLINE_SCREENSHOTS` names a directory.
    async fn picture(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("TRUNKLINE_SCREENSHOTS") else {
            return;
        };
        let path = PathBuf::from(directory).join(format!("{name}.png"));
        let picture = self.browser.picture().await.unwrap();
        std::fs::write(path, picture).unwrap();
    }

    async fn complains_of_nothing(&mut self) {
        assert_eq!(self.browser.complaints().await.unwrap(), []);
    }
}

fn progress(step: CallStep, reached: &[u64], replies: u32) -> Progress {
    let at = |index: usize| reached.get(index).map(|ms| Duration::from_millis(*ms));
    let times = CallTimes {
        joined: at(0),
        configured: at(1),
        model_ready: at(2),
        answered: at(3),
        active: at(4),
        first_sound: at(5),
        ended: None,
    };
    Progress {
        step,
        times,
        replies,
    }
}

#[tokio::test]
async fn who_signs_in_sees_projects_and_calls_come_and_go_without_asking() {
    let Some(mut page) = Reader::at_the_page("the status page, live").await else {
        return;
    };
    let acme = page.bed.tenant("acme").await;
    let token = page.bed.token("viewer", Read, None).await;
    page.sign_in(&token).await;
    page.is_live().await;
    page.shows("acme").await;
    page.shows("No calls at the moment.").await;

    let (id, mut entered) = page.bed.live_call(acme, "acme");
    page.shows("…1111 → …2222").await;
    entered.progress(progress(CallStep::Ringing, &[30], 0));
    page.shows("ringing").await;
    page.click("…1111 → …2222").await;
    page.shows("Timeline").await;
    page.until(&format!("location.hash === '#/calls/{}'", id.0))
        .await;
    entered.progress(progress(
        CallStep::Talking,
        &[30, 90, 410, 420, 600, 640],
        1,
    ));
    page.shows("640 ms").await;
    page.shows_no("Hang up").await;

    page.bed.record_call(id, acme, 0, "+15550003333").await;
    entered.ended(CallOutcome::CallerHungUp);
    page.shows("caller hung up").await;
    page.press(&["Escape"]).await;
    page.shows("No calls at the moment.").await;
    page.click("Calls").await;
    page.shows("…3333 → ?").await;
    page.click("…3333 → ?").await;
    page.shows("900 ms").await;

    page.bed.tenant("beta").await;
    page.press(&["p"]).await;
    page.shows("beta").await;
    page.bed
        .execute("UPDATE tenants SET enabled = false WHERE slug = 'beta'")
        .await;
    page.shows("disabled").await;
    page.complains_of_nothing().await;
}

#[tokio::test]
async fn a_wrong_token_is_told_and_a_revoked_one_signs_out() {
    let Some(mut page) = Reader::at_the_page("signing in to the status page").await else {
        return;
    };
    page.sign_in("tl_wrong").await;
    page.shows("The token is not accepted").await;
    page.picture("signin").await;
    let refused = page.browser.complaints().await.unwrap();
    assert!(
        refused
            .iter()
            .all(|complaint| complaint.source == "network"),
        "{refused:?}"
    );

    let token = page.bed.token("viewer", Read, None).await;
    page.sign_in(&token).await;
    page.is_live().await;
    page.complains_of_nothing().await;
    page.open("/#/calls").await;
    page.evaluate("location.reload()").await;
    page.shows("Calls that are over").await;
    page.click("Sign out").await;
    page.until("document.querySelector('#token') && sessionStorage.length === 0")
        .await;

    page.sign_in(&token).await;
    page.is_live().await;
    page.bed
        .execute(
            "UPDATE api_tokens SET revoked_at = now(), revoked_by = 'test' WHERE name = 'viewer'",
        )
        .await;
    page.click("Projects").await;
    page.click("Calls").await;
    page.shows("revoked").await;
    page.until("document.querySelector('#token')").await;
}

#[tokio::test]
async fn an_api_that_goes_away_is_told_and_waited_for() {
    let Some(mut page) = Reader::at_the_page("the status page without its API").await else {
        return;
    };
    page.bed.tenant("acme").await;
    let token = page.bed.token("viewer", Read, None).await;
    page.sign_in(&token).await;
    page.is_live().await;
    page.shows("acme").await;
    page.bed.api_goes_away().await;
    page.shows("Trying again").await;
    page.picture("away").await;
    page.shows("acme").await;
    page.bed.api_comes_back().await;
    page.is_live().await;
    page.shows_no("Trying again").await;
}

#[tokio::test]
async fn a_keyboard_is_enough_and_an_operator_can_act() {
    let Some(mut page) = Reader::at_the_page("the status page by keyboard").await else {
        return;
    };
    let acme = page.bed.tenant("acme").await;
    page.bed.tenant("beta").await;
    page.bed.past_call(acme, 0, "+15550003333").await;
    let (id, entered) = page.bed.live_call(acme, "acme");
    let token = page.bed.token("ops", Operator, None).await;
    page.sign_in(&token).await;
    page.is_live().await;
    page.shows("beta").await;

    page.press(&["?"]).await;
    page.shows("next and previous line").await;
    page.press(&["Escape"]).await;
    page.until("!document.querySelector('dialog[open]')").await;
    page.press(&["j", "j", "k"]).await;
    page.until("document.activeElement.innerText === 'acme'")
        .await;
    page.press(&["Enter"]).await;
    page.until("location.hash === '#/projects/acme'").await;
    page.shows("ws://127.0.0.1:9").await;
    page.shows("created by cli:test").await;

    // Nobody answers there, and the page says what to do about it.
    page.click("Test").await;
    page.shows("Test of version").await;
    page.shows("livekit_url").await;
    page.shows("provider_base_url").await;
    page.fits(DESK).await;
    page.picture("tested").await;

    page.click("Disable").await;
    page.shows("Disable acme?").await;
    page.press(&["Escape"]).await;
    page.until("!document.querySelector('dialog[open]')").await;
    page.click("Disable").await;
    page.evaluate("document.querySelector('dialog [value=yes]').click()")
        .await;
    page.shows("acme is disabled.").await;
    page.shows("disabled by api:ops").await;

    page.press(&["/"]).await;
    page.browser.write("acme").await.unwrap();
    page.until("location.hash === '#/search/acme'").await;
    page.shows("…1111 → …2222").await;
    page.shows("…3333 → ?").await;
    page.shows_no("beta").await;
    page.press(&["Escape"]).await;
    page.shows("beta").await;
    page.open("/#/search/nothing-of-this").await;
    page.shows("No project.").await;
    page.shows("No live call.").await;

    page.open(&format!("/#/calls/{}", id.0)).await;
    page.click("Hang up").await;
    page.evaluate("document.querySelector('dialog [value=yes]').click()")
        .await;
    page.shows("The call is ending.").await;
    assert!(entered.hang_up().is_cancelled());
    page.complains_of_nothing().await;
}

#[tokio::test]
async fn every_view_fits_a_phone_in_both_colours() {
    let Some(mut page) = Reader::at_the_page("the status page on a phone").await else {
        return;
    };
    let endpoint = WorkerEndpoint::start().await.unwrap();
    let (acme, _calls) = busy(&page.bed, &endpoint).await;
    let token = page.bed.token("night-shift", Operator, None).await;
    page.sign_in(&token).await;
    page.is_live().await;
    page.until("document.querySelectorAll('.card').length === 3")
        .await;
    page.until("document.querySelectorAll('.pill.good').length >= 3")
        .await;
    let live = page.bed.calls.all()[0].id.0;
    let past = page.bed.past_call(acme, 0, "+15550003333").await.0;
    let views = [
        ("projects", "#/".to_owned(), "In trouble"),
        (
            "project",
            "#/projects/harbour-dental".to_owned(),
            "API secret",
        ),
        ("calls", "#/calls".to_owned(), "Calls that are over"),
        ("live", format!("#/calls/{live}"), "Timeline"),
        ("past", format!("#/calls/{past}"), "900 ms"),
        (
            "search",
            "#/search/harbour".to_owned(),
            "Calls that are over",
        ),
    ];
    for (name, hash, text) in views {
        page.evaluate(&format!("location.hash = '{hash}'")).await;
        page.shows(text).await;
        for (size, window) in [("phone", PHONE), ("desk", DESK)] {
            for (shade, colours) in [("light", Colours::Light), ("dark", Colours::Dark)] {
                page.browser.look(window, colours).await.unwrap();
                page.fits(window).await;
                page.picture(&format!("{name}-{size}-{shade}")).await;
            }
        }
    }
    page.press(&["?"]).await;
    page.shows("next and previous line").await;
    page.picture("help").await;
    page.complains_of_nothing().await;
}

/// A deployment with something of everything.
async fn busy(bed: &Bed, endpoint: &WorkerEndpoint) -> (TenantId, Vec<Entered>) {
    for slug in [
        "harbour-dental",
        "lindqvist-legal",
        "north-clinic",
        "studio-nine",
    ] {
        let secret = crate::bed::SECRETS[0];
        let mut new = NewTenant::new(slug, endpoint.url(), slug, secret);
        new.call_config_url = Some(format!("https://{slug}.example/call-config"));
        new.max_calls = Some(10);
        bed.store
            .add_tenant(new, &Actor::new("cli:maria"))
            .await
            .unwrap();
    }
    bed.tenant("unreachable-travel-agency-of-the-northern-islands")
        .await;
    bed.tenant("winter-break").await;
    bed.execute("UPDATE tenants SET enabled = false WHERE slug = 'winter-break'")
        .await;
    let record = bed
        .store
        .tenant_record("harbour-dental")
        .await
        .unwrap()
        .unwrap();
    bed.past_call(record.id, 60, "+15550004444").await;
    bed.past_call(record.id, 90, "+15550005555").await;
    let steps: [(CallStep, &[u64], u32); 3] = [
        (CallStep::Talking, &[41, 230, 905, 910, 1_480, 1_530], 4),
        (CallStep::Ringing, &[38, 310], 0),
        (CallStep::Closing, &[35, 120, 640, 655, 990, 1_020], 1),
    ];
    let mut calls = Vec::new();
    for (step, reached, replies) in steps {
        let (_, mut entered) = bed.live_call(record.id, "harbour-dental");
        entered.progress(progress(step, reached, replies));
        calls.push(entered);
    }
    (record.id, calls)
}

#[tokio::test]
async fn the_page_is_served_to_strangers_and_everything_else_is_not() {
    let bed = Bed::start().await;
    let get = async |path: &str| {
        let url = format!("http://{}{path}", bed.address);
        bed.http.get(url).send().await.unwrap()
    };
    for path in ["/", "/ui/app.js", "/ui/views/projects.js", "/ui/style.css"] {
        let answer = get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"));
    }
    assert_eq!(get("/ui/none.js").await.status(), 401);
    assert_eq!(get("/v1/workers").await.status(), 401);
}
