//! The page at `/`: a few files without a build step, that load nothing from any other host.
//!
//! All that it shows of traffic it writes as text, never as markup. The view (filters, a question why, the chosen
//! exchange) stands in the fragment of the URL, so that it can be pasted into a channel. Each part of the page has a
//! script of its own, with the functions that `app.js` calls; `base.js` is what all are made of.

use super::reply::{self, Reply};

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Where it is found.
    pub(super) path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// All files of the page.
static FILES: [File; 17] = [
    file_of("/", HTML, include_str!("index.html")),
    file_of("/style.css", CSS, include_str!("style.css")),
    file_of("/views.css", CSS, include_str!("views.css")),
    file_of("/base.js", JS, include_str!("base.js")),
    file_of("/outcomes.js", JS, include_str!("outcomes.js")),
    file_of("/chart.js", JS, include_str!("chart.js")),
    file_of("/verdict.js", JS, include_str!("verdict.js")),
    file_of("/map.js", JS, include_str!("map.js")),
    file_of("/routes.js", JS, include_str!("routes.js")),
    file_of("/endpoints.js", JS, include_str!("endpoints.js")),
    file_of("/hour.js", JS, include_str!("hour.js")),
    file_of("/exchanges.js", JS, include_str!("exchanges.js")),
    file_of("/inflight.js", JS, include_str!("inflight.js")),
    file_of("/limits.js", JS, include_str!("limits.js")),
    file_of("/books.js", JS, include_str!("books.js")),
    file_of("/app.js", JS, include_str!("app.js")),
    file_of("/favicon.ico", "image/svg+xml", include_str!("icon.svg")),
];

/// The file at this path.
pub(super) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

pub(super) fn page(file: &File) -> Reply {
    reply::of(file.content_type, file.text)
}

const fn file_of(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File {
        path,
        content_type,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Outcome;

    fn text(path: &str) -> &'static str {
        file(path).expect("it is there").text
    }

    #[test]
    fn is_small_and_loads_nothing_from_elsewhere() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes <= 150 * 1024, "{bytes} bytes");
        for file in &FILES {
            let foreign = file.text.replace("http://www.w3.org/2000/svg", "");
            for word in [
                "https:",
                "url(",
                "import(",
                "@import",
                "src=\"//",
                "href=\"//",
            ] {
                assert!(!foreign.contains(word), "{}: {word}", file.path);
            }
        }
    }

    #[test]
    fn the_page_loads_each_of_its_files() {
        for file in FILES.iter().filter(|file| file.path != "/") {
            let loads = format!("=\"{}\"", file.path);
            assert!(text("/").contains(&loads), "{}", file.path);
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
            for script in FILES.iter().filter(|file| file.content_type == JS) {
                assert!(!script.text.contains(word), "{}: {word}", script.path);
            }
        }
        for word in ["<script>", "<style", " style=", " onclick=", " onload="] {
            assert!(!text("/").contains(word), "{word} is against the policy");
        }
    }

    #[test]
    fn says_what_every_failure_means() {
        for outcome in Outcome::ALL {
            let entry = format!("\n  {outcome}: \"");
            let is_told = text("/outcomes.js").contains(&entry);
            assert_eq!(is_told, outcome != Outcome::Served, "{outcome}");
        }
        // And the filter above the exchanges offers each.
        for outcome in Outcome::ALL {
            let word = format!("\"{outcome}\"");
            assert!(text("/exchanges.js").contains(&word), "{outcome}");
        }
    }
}
