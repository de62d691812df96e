//! The page at `/`: a few files without a build step, that load nothing from any other host.
//!
//! It polls the API once a second; all that it shows of traffic it writes as text, never as markup. The view (filters,
//! a question why, the chosen exchange) stands in the fragment of the URL, so that it can be pasted into a channel.

use super::reply::{self, Reply};

const PAGE: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("app.js");
const VERDICT: &str = include_str!("verdict.js");
const HOUR: &str = include_str!("hour.js");
const OUTCOMES: &str = include_str!("outcomes.js");
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

pub(super) fn hour() -> Reply {
    reply::of("text/javascript; charset=utf-8", HOUR)
}

pub(super) fn outcomes() -> Reply {
    reply::of("text/javascript; charset=utf-8", OUTCOMES)
}

pub(super) fn icon() -> Reply {
    reply::of("image/svg+xml", ICON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Outcome;

    #[test]
    fn is_small_and_loads_nothing_from_elsewhere() {
        let all = [PAGE, STYLE, SCRIPT, VERDICT, HOUR, OUTCOMES, ICON];
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
            for script in [SCRIPT, VERDICT, HOUR, OUTCOMES] {
                assert!(!script.contains(word), "{word}");
            }
        }
        for word in ["<script>", "<style", " style=", " onclick=", " onload="] {
            assert!(!PAGE.contains(word), "{word} is against the policy");
        }
    }

    #[test]
    fn says_what_every_failure_means() {
        for outcome in Outcome::ALL {
            let entry = format!("\n  {outcome}: \"");
            let is_told = OUTCOMES.contains(&entry);
            assert_eq!(is_told, outcome != Outcome::Served, "{outcome}");
        }
        // And the filter above the exchanges offers each.
        for outcome in Outcome::ALL {
            assert!(SCRIPT.contains(&format!("\"{outcome}\"")), "{outcome}");
        }
    }
}
