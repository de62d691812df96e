//! `admin`: the side port, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::names;
use super::notes::At;

/// The side port, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// What to bind (default 127.0.0.1:9901); port 0 binds a free one.
    pub address: SocketAddr,
    /// A file whose first line is the bearer token for peers that are neither on loopback nor in `allow`.
    pub token_file: Option<PathBuf>,
    /// Peers that need no token, besides loopback.
    pub allow: Vec<IpNet>,
    /// Names that the `Host` field may have besides IP addresses and loopback names.
    pub hosts: Vec<String>,
    /// Where the page's links lead.
    pub links: Links,
}

/// Templates of links from the page to what else a team has; in braces stands what the page fills in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// To the trace of an exchange, such as Jaeger's: with `{trace_id}`, and `{span_id}` where wanted.
    pub trace: Option<String>,
    /// To the dashboard of a route, such as Grafana's: `{route}`, and the last hour as `{from_ms}` and `{to_ms}`.
    pub dashboard: Option<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9901)),
            token_file: None,
            allow: Vec::new(),
            hosts: Vec::new(),
            links: Links::default(),
        }
    }
}

// === As written ===

/// The side port: metrics, health, dashboard, API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminWritten {
    /// The IP address and port to bind (default 127.0.0.1:9901); port 0 binds a free one.
    #[serde(default)]
    pub(super) address: Option<String>,
    /// A file whose first line is the bearer token for peers that are neither on loopback nor in `allow`.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// Peers that need no token, besides loopback: networks or addresses.
    #[serde(default)]
    allow: Vec<String>,
    /// Names that the Host header may have besides IP addresses and loopback names.
    #[serde(default)]
    hosts: Vec<String>,
    /// Where the page's links lead (default: there are none).
    #[serde(default)]
    links: LinksWritten,
}

/// Templates of links; in braces stands what the page fills in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LinksWritten {
    /// To the trace of an exchange: `{trace_id}`, `{span_id}`.
    #[serde(default)]
    trace: Option<String>,
    /// To the dashboard of a route: `{route}`, `{from_ms}`, `{to_ms}`.
    #[serde(default)]
    dashboard: Option<String>,
}

// === Checks ===

impl AdminWritten {
    /// Checks the section; `None` when it cannot be used, which was noted then.
    pub(super) fn check(&self, at: &At<'_>) -> Option<Admin> {
        let default = Admin::default();
        let address = match &self.address {
            Some(text) => names::check_bind(text, &at.key("address")),
            None => Some(default.address),
        };
        if self
            .token_file
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            at.key("token_file").error("names no file");
        }
        let hosts =
            self.hosts.iter().enumerate().filter_map(
                |(position, host)| match names::check_host_name(host) {
                    Ok(()) => Some(host.to_ascii_lowercase()),
                    Err(error) => {
                        at.key("hosts")
                            .item(position)
                            .error_hint(error.what, error.hint);
                        None
                    }
                },
            );
        Some(Admin {
            hosts: hosts.collect(),
            allow: names::check_networks(&self.allow, &at.key("allow")),
            links: self.links.check(&at.key("links")),
            address: address?,
            token_file: self.token_file.clone(),
        })
    }
}

impl LinksWritten {
    fn check(&self, at: &At<'_>) -> Links {
        let check = |text: &Option<String>, key, places: &[&str]| {
            let text = text.as_deref()?;
            match check_template(text, places) {
                Ok(()) => Some(text.to_owned()),
                Err((what, hint)) => {
                    at.key(key).error_hint(what, hint);
                    None
                }
            }
        };
        Links {
            trace: check(&self.trace, "trace", &["trace_id", "span_id"]),
            dashboard: check(&self.dashboard, "dashboard", &["route", "from_ms", "to_ms"]),
        }
    }
}

/// Whether the page can make links of it; the first of the places has to be there.
fn check_template(text: &str, places: &[&str]) -> Result<(), (String, String)> {
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme));
    let host = scheme.and_then(|scheme| text[scheme.len()..].split(['/', '?', '#']).next());
    if host.is_none_or(|host| host.is_empty() || host.contains(['{', '}'])) {
        return Err((
            format!("`{text}` is no address of a page"),
            "it begins with https:// or http:// and the name of a host".to_owned(),
        ));
    }
    if text.contains(|odd: char| odd.is_control() || odd.is_whitespace()) {
        return Err((
            format!(
                "`{}` has a space or a control character",
                text.escape_debug()
            ),
            "write a space as %20".to_owned(),
        ));
    }
    let all: Vec<_> = places.iter().map(|it| format!("{{{it}}}")).collect();
    let all = all.join(", ");
    let mut has_first = false;
    for part in text.split('{').skip(1) {
        let place = part.split_once('}').map(|(place, _)| place);
        match place.filter(|place| places.contains(place)) {
            Some(place) => has_first |= place == places[0],
            None => {
                let what = match place {
                    Some(place) => format!("nothing is filled in for {{{place}}}"),
                    None => "a brace is open".to_owned(),
                };
                return Err((what, format!("there are {all}; write a brace as %7B")));
            }
        }
    }
    if !has_first {
        let what = format!("{{{}}} is not in it", places[0]);
        return Err((what, format!("there are {all}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_of_a_link_is_an_address_with_places_that_are_known() {
        let places = ["trace_id", "span_id"];
        for good in [
            "https://jaeger.example/trace/{trace_id}",
            "http://127.0.0.1:16686/trace/{trace_id}?uiFind={span_id}",
        ] {
            assert_eq!(check_template(good, &places), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("javascript:alert('{trace_id}')", "no address"),
            ("//jaeger.example/{trace_id}", "no address"),
            ("https:///{trace_id}", "no address"),
            ("https://{trace_id}/", "no address"),
            ("https://jaeger.example/ {trace_id}", "space"),
            ("https://jaeger.example/{trace}", "{trace}"),
            ("https://jaeger.example/{trace_id", "open"),
            ("https://jaeger.example/{span_id}", "{trace_id} is not"),
        ] {
            let (what, _) = check_template(bad, &places).expect_err(bad);
            assert!(what.contains(why), "{bad}: {what}");
        }
    }
}
