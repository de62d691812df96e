//! The answer as people read it: the verdict first, then the way to it.

use super::{Answer, Explanation};
use crate::config::harmless;

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const DIM: &str = "\u{1b}[2m";
const END: &str = "\u{1b}[0m";

/// The explanation as text, with colours or without.
#[must_use]
pub fn draw(it: &Explanation, is_coloured: bool) -> String {
    let mut page = Page {
        out: String::new(),
        is_coloured,
    };
    page.answer(it);
    page.listeners(it);
    page.request(it);
    page.route(it);
    page.others(it);
    page.out
}

struct Page {
    out: String,
    is_coloured: bool,
}

// === impl Page ===

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn fact(&mut self, name: &str, text: &str) {
        let text = harmless(text);
        self.line(&format!("  {name:<15} {text}"));
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        match self.is_coloured {
            true => format!("{colour}{text}{END}"),
            false => text.to_owned(),
        }
    }

    fn title(&mut self, text: &str) {
        self.out.push('\n');
        self.line(text);
    }

    fn answer(&mut self, it: &Explanation) {
        let (colour, text) = match &it.answer {
            Answer::Served => {
                let route = it.route.as_deref().unwrap_or_default();
                (GREEN, format!("served by route {route}"))
            }
            Answer::Redirected { location } => (RED, format!("308 to {location}")),
            Answer::Refused {
                outcome,
                status,
                detail,
            } => {
                let route = it.route.as_deref();
                let route = route.map(|name| format!(", on route {name}"));
                let route = route.unwrap_or_default();
                (
                    RED,
                    format!("{status} {}{route}: {detail}", outcome.as_str()),
                )
            }
            Answer::Unreachable { detail } => (RED, format!("unreachable: {detail}")),
        };
        let text = self.coloured(colour, &harmless(&text));
        self.line(&text);
        for condition in &it.provided {
            self.line(&format!("  provided that {condition}"));
        }
    }

    fn listeners(&mut self, it: &Explanation) {
        self.title("listeners");
        for door in &it.listeners {
            let mark = if door.is_taken { "->" } else { "  " };
            let text = format!("{mark}{:<15} {}: {}", door.name, door.address, door.why);
            let text = if door.is_taken {
                text
            } else {
                self.coloured(DIM, &text)
            };
            self.line(&text);
        }
    }

    fn request(&mut self, it: &Explanation) {
        let Some(request) = &it.request else { return };
        self.title("request, as it is routed");
        self.fact("method", &request.method);
        self.fact("host", request.host.as_deref().unwrap_or("none"));
        let path = match &request.path_asked {
            Some(asked) => format!("{} (asked for as {asked})", request.path),
            None => request.path.clone(),
        };
        self.fact("path", &path);
        if let Some(query) = &request.query {
            self.fact("query", query);
        }
        self.fact("client", &request.client);
    }

    fn route(&mut self, it: &Explanation) {
        let Some(route) = &it.route else { return };
        self.title(&format!("route {route}"));
        if let Some(because) = &it.route_match {
            self.fact("because of", because);
        }
        for (name, text) in &it.settings {
            self.fact(name, text);
        }
        let Some(sent) = &it.upstream_request else {
            return;
        };
        self.title("what goes upstream");
        self.fact("", &format!("{} {}", sent.method, sent.target));
        for (name, value) in &sent.set {
            self.fact("set", &format!("{name}: {value}"));
        }
        for name in &sent.removed {
            self.fact("removed", name);
        }
        self.fact("", "and the trace context of each attempt");
    }

    fn others(&mut self, it: &Explanation) {
        if it.others.is_empty() {
            return;
        }
        let title = if it.route.is_some() {
            "why each other route lost"
        } else {
            "why each route lost"
        };
        self.title(title);
        for lost in &it.others {
            self.fact(&lost.route, &lost.detail);
            let asks = self.coloured(DIM, &format!("(it takes {})", harmless(&lost.route_match)));
            self.line(&format!("  {:<15} {asks}", ""));
        }
    }
}
