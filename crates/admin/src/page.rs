//! The status page: `/`, and what it is made of under `/ui`.
//!
//! Policy:
//! - It is in the program: no file, no build step, no other host is needed.
//! - It holds nothing that a stranger may not see. What it shows comes from `/v1`,
//!   with the token of whoever looks.
//! - A browser runs nothing on it that is not one of these files, and shows it in no
//!   frame. Its scripts make text out of what they are told, never markup.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What a browser may do on the page. Trusted types forbid what would make markup of
/// text, also where a script of ours did by mistake.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! assets {
    ($($kind:ident $($name:literal)*;)*) => {
        [$($(Asset {
            path: concat!("/ui/", $name),
            kind: $kind,
            content: include_str!(concat!("../page/", $name)),
        },)*)*]
    };
}

const INDEX: Asset = Asset {
    path: "/",
    kind: HTML,
    content: include_str!("../page/index.html"),
};

const ASSETS: &[Asset] = &assets! {
    CSS "style.css";
    SVG "icon.svg";
    JS "app.js" "api.js" "bar.js" "dialogs.js" "dom.js" "format.js" "keyboard.js" "live.js"
        "parts.js" "resource.js" "session.js" "stream.js"
        "views/call.js" "views/calls.js" "views/project.js" "views/projects.js"
        "views/search.js" "views/signin.js";
};

impl Asset {
    fn route(self, router: Router) -> Router {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let answer = move |headers: HeaderMap| {
            let response = self.answer(&headers, &tag);
            async move { response }
        };
        router.route(self.path, get(answer))
    }

    fn answer(self, headers: &HeaderMap, tag: &str) -> Response {
        let known = headers.get(IF_NONE_MATCH);
        let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let around: [(HeaderName, &str); 7] = [
            (CONTENT_TYPE, self.kind),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            // Asked for each time, so that a new version is whole at once.
            (CACHE_CONTROL, "no-cache"),
            (ETAG, tag),
        ];
        if is_known {
            (StatusCode::NOT_MODIFIED, around).into_response()
        } else {
            (around, self.content).into_response()
        }
    }
}

/// The page's routes. They ask for no token.
pub(crate) fn router() -> Router {
    ASSETS
        .iter()
        .fold(INDEX.route(Router::new()), |router, asset| {
            asset.route(router)
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Asset> {
        std::iter::once(&INDEX).chain(ASSETS)
    }

    fn files(directory: &Path, within: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{within}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), &name, found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_is_served() {
        let mut there = BTreeSet::new();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        files(&directory, "/ui", &mut there);
        assert!(there.remove("/ui/index.html"));
        let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
        assert_eq!(served, there);
    }

    #[test]
    fn every_file_that_another_asks_for_is_there() {
        let mut asked = 0;
        for asset in all() {
            let folder = &asset.path[..=asset.path.rfind('/').unwrap()];
            let quotes = asset.content.split(['\'', '"']);
            for text in quotes.filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
                let path = match text.strip_prefix("../") {
                    Some(name) => format!("/ui/{name}"),
                    None => match text.strip_prefix("./") {
                        Some(name) => format!("{folder}{name}"),
                        None => text.to_owned(),
                    },
                };
                assert!(
                    ASSETS.iter().any(|asset| asset.path == path),
                    "{} asks for {path}",
                    asset.path
                );
                asked += 1;
            }
        }
        assert!(asked > ASSETS.len());
    }

    #[test]
    fn nothing_is_taken_from_elsewhere_and_no_text_becomes_markup() {
        for asset in all() {
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            for bad in [
                "http:",
                "https:",
                "//cdn",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "<style",
                " style=",
                " onclick=",
                "eval(",
                "new Function",
                "document.write",
            ] {
                assert!(!content.contains(bad), "{} has {bad}", asset.path);
            }
        }
    }

    #[test]
    fn the_policy_is_strict_and_comes_with_every_file() {
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(POLICY.split("; ").any(|given| given == directive));
        }
        for asset in all() {
            let response = asset.answer(&HeaderMap::new(), "\"1\"");
            let headers = response.headers();
            assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer");
            assert_eq!(headers[CONTENT_TYPE], asset.kind);
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, "\"1\"".parse().unwrap());
        let answer = |tag| INDEX.answer(&headers, tag).status();
        assert_eq!(answer("\"1\""), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("\"2\""), StatusCode::OK);
    }
}
