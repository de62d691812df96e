//! The page at `/`: a few files without a build step, that load nothing from any other host.
//!
//! It polls the API once a second; all that it shows of traffic it writes as text, never as markup. The view (filters,
//! a question why, the chosen exchange) stands in the fragment of the URL, so that it can be pasted into a channel.

use super::reply::{self, Reply};

const PAGE: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("app.js");
const VERDICT: &str = include_str!("verdict.js");
const ICON: &str = include_str!("icon.svg");

pub(super) fn page() -> Reply {
    reply::of("text/html; charset=utf-8", PAGE)
}

pub(super) fn style() -> Reply {
    reply::of("text/css; charset=utf-8", STYLE)
}

pub(super) fn script() -> Reply {
    reply::of("text/javascript; charset=utf-8", SCRIPT)
}

pub(super) fn verdict() -> Reply {
    reply::of("text/javascript; charset=utf-8", VERDICT)
}

pub(super) fn icon() -> Reply {
    reply::of("image/svg+xml", ICON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small_and_loads_nothing_from_elsewhere() {
        let all = [PAGE, STYLE, SCRIPT, VERDICT, ICON];
        let bytes: usize = all.iter().map(|file| file.len()).sum();
        assert!(bytes <= 100 * 1024, "{bytes} bytes");
        for file in all {
            let foreign = file.replace("http://www.w3.org/2000/svg", "");
            for word in [
                "https:",
                "url(",
                "import(",
                "@import",
                "src=\"//",
                "href=\"//",
            ] {
                assert!(!foreign.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn writes_no_markup_from_text() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "DOMParser",
        ] {
            assert!(!SCRIPT.contains(word) && !VERDICT.contains(word), "{word}");
        }
        for word in ["<script>", "<style", " style=", " onclick=", " onload="] {
            assert!(!PAGE.contains(word), "{word} is against the policy");
        }
    }
}
