//! What the demo says when it is ready: what to open, what to try, what to look for. Once, and then the terminal is free.

use std::io::{self, Write};
use std::path::Path;

use std::time::Duration;

use super::child::Ready;
use super::incident::Incident;

/// What there is to say.
#[derive(Debug)]
pub(super) struct Hello<'a> {
    /// Where the proxy is.
    pub(super) ready: &'a Ready,
    /// Where it writes its access log.
    pub(super) access_log: &'a Path,
    /// The collector that was asked for.
    pub(super) otlp: Option<&'a str>,
    /// The collector that the environment names.
    pub(super) otlp_variable: Option<String>,
    /// How many requests a second the crowd sends.
    pub(super) requests_per_second: u32,
    /// What is practised, and when it begins.
    pub(super) incident: Option<(Incident, Duration)>,
}

/// What makes text stand out on a terminal; empty elsewhere.
#[derive(Clone, Copy, Debug)]
struct Ink {
    bold: &'static str,
    link: &'static str,
    faint: &'static str,
    plain: &'static str,
}

/// Bold; underlined cyan; faint; and back (ECMA-48 §8.3.117).
const INK: Ink = Ink {
    bold: "\x1b[1m",
    link: "\x1b[4;36m",
    faint: "\x1b[2m",
    plain: "\x1b[0m",
};
const NO_INK: Ink = Ink {
    bold: "",
    link: "",
    faint: "",
    plain: "",
};

/// The variables that name a collector, the closer one first.
const OTLP_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// The collector that the environment names, and the proxy will take from there.
pub(super) fn otlp_variable() -> Option<String> {
    let values = OTLP_VARIABLES
        .iter()
        .filter_map(|it| std::env::var(it).ok());
    values.into_iter().find(|value| !value.is_empty())
}

// === impl Hello ===

impl Hello<'_> {
    /// Says it.
    ///
    /// # Errors
    /// Where nobody listens.
    pub(super) fn write(&self, out: &mut impl Write, is_terminal: bool) -> io::Result<()> {
        let Ink {
            bold,
            link,
            faint,
            plain,
        } = if is_terminal { INK } else { NO_INK };
        let Ready { public, admin } = self.ready;
        let log = self.access_log.display();
        let rate = self.requests_per_second;
        let traces = match (self.otlp, &self.otlp_variable) {
            (Some(url), _) => format!("go to {link}{url}{plain}"),
            (None, Some(url)) => format!("go to {link}{url}{plain}, as the environment says"),
            (None, None) => format!(
                "go nowhere yet; to Jaeger with {bold}sightglass demo --otlp http://127.0.0.1:4317{plain}"
            ),
        };
        let plot = self.plot(bold, plain);
        write!(
            out,
            "
  {bold}sightglass demo{plain}   a small shop: three services, a crowd of clients, the proxy between them

  {bold}Dashboard{plain}   {link}http://{admin}/{plain}
  {bold}Metrics{plain}     {link}http://{admin}/metrics{plain}
  {bold}Exchanges{plain}   {link}http://{admin}/api/v1/exchanges?limit=5{plain}
  {bold}Try it{plain}      curl -i http://{public}/api/checkout/cart/7
  {bold}Log{plain}         tail -f {log}
  {bold}Traces{plain}      {traces}

{plot}
  {faint}{rate} requests a second. Ctrl-C ends it and leaves nothing behind.{plain}

"
        )?;
        out.flush()
    }

    /// What there is to be seen.
    fn plot(&self, bold: &str, plain: &str) -> String {
        let Some((incident, after)) = self.incident else {
            return format!(
                "  {bold}checkout{plain}    one of its two endpoints is slow for six seconds of every twenty
  {bold}search{plain}      is fast; now and then an answer is large, or one client asks for too much
  {bold}inventory{plain}   fails every half minute: answers 503, then resets, then refuses connections
"
            );
        };
        let (name, after) = (incident.name(), after.as_secs());
        format!(
            "  {bold}{name}{plain}   all is well for {after} seconds, then it begins and stays. Find out what it comes from:
  on the dashboard, with {bold}sightglass top{plain}, {bold}sightglass why{plain} or {bold}sightglass tail error{plain}. The answer is told at the end.
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(otlp: Option<&str>, otlp_variable: Option<&str>, is_terminal: bool) -> String {
        let ready = Ready {
            public: ([127, 0, 0, 1], 8080).into(),
            admin: ([127, 0, 0, 1], 9901).into(),
        };
        let hello = Hello {
            ready: &ready,
            access_log: Path::new("/tmp/demo/access.log"),
            otlp,
            otlp_variable: otlp_variable.map(str::to_owned),
            incident: None,
            requests_per_second: 40,
        };
        let mut out = Vec::new();
        let written = hello.write(&mut out, is_terminal);
        written.expect("a vector takes everything");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn it_tells_what_to_open_and_fits_an_ordinary_terminal() {
        let said = say(None, None, false);
        for part in [
            "http://127.0.0.1:9901/\n",
            "http://127.0.0.1:9901/metrics\n",
            "curl -i http://127.0.0.1:8080/api/checkout/cart/7\n",
            "tail -f /tmp/demo/access.log\n",
            "sightglass demo --otlp http://127.0.0.1:4317\n",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        for line in said.lines() {
            assert!(line.len() <= 100, "{line}");
        }
    }

    #[test]
    fn only_a_terminal_gets_ink() {
        let plain = say(None, None, false);
        assert!(!plain.contains('\x1b'));
        let mut inked = say(None, None, true);
        for ink in [INK.bold, INK.link, INK.faint, INK.plain] {
            assert!(inked.contains(ink));
            inked = inked.replace(ink, "");
        }
        assert_eq!(inked, plain);
    }

    #[test]
    fn it_tells_where_traces_go() {
        let url = "http://collector:4317";
        assert!(
            say(Some(url), Some("http://other"), false).contains("go to http://collector:4317\n")
        );
        let said = say(None, Some(url), false);
        assert!(said.contains("go to http://collector:4317, as the environment says\n"));
    }
}
