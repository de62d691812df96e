//! The file that the demo's proxy runs from: what a user would write for these three services.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{ArgumentError, from_arguments};

use super::incident::Incident;
use super::script::Role;

/// What the file wires together.
#[derive(Clone, Debug)]
pub(super) struct Wiring {
    /// Where the crowd comes in.
    pub(super) public: SocketAddr,
    /// The admin port.
    pub(super) admin: SocketAddr,
    /// Each endpoint and whose it is.
    pub(super) services: Vec<(Role, SocketAddr)>,
    /// The collector, as [`collector`] gives it.
    pub(super) otlp: Option<String>,
    /// Where the access log goes.
    pub(super) access_log: PathBuf,
    /// What the crowd sends: what one client may ask for follows from it.
    pub(super) requests_per_second: u32,
    /// What is practised, if anything is.
    pub(super) incident: Option<Incident>,
    /// The file of what is believed of services that speak TLS.
    pub(super) authorities: PathBuf,
}

/// The collector's URL as the configuration takes it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn collector(written: &str) -> Result<String, ArgumentError> {
    // `run --otlp` has the same words to say about it.
    let (plan, _) = from_arguments(&["127.0.0.1:1".to_owned()], None, None, Some(written))?;
    let otlp = plan.telemetry.traces.otlp;
    Ok(otlp.map_or_else(|| written.to_owned(), |otlp| otlp.endpoint))
}

// === impl Wiring ===

impl Wiring {
    /// The text of the file.
    pub(super) fn file(&self) -> String {
        let Self { public, admin, .. } = self;
        // What one of some ten clients asks for by itself is an eighth of this, its rush is several times as much.
        let share = match self.incident {
            // More than all ask for, and less than they do with one more who asks for as much.
            Some(Incident::NoisyNeighbour) => (self.requests_per_second * 6 / 10).max(5),
            _ => (self.requests_per_second / 8).max(5),
        };
        let burst = share * 2;
        let own = self
            .services
            .iter()
            .find(|(role, _)| *role == Role::Collector);
        let traces = match (own, &self.otlp) {
            (_, Some(url)) => format!("otlp: {{endpoint: {}}}", quoted(url)),
            (Some((_, address)), None) => {
                format!("otlp: {{endpoint: \"http://{address}\", protocol: http}}")
            }
            (None, None) => "# otlp: {endpoint: \"http://127.0.0.1:4317\"}".to_owned(),
        };
        let log = quoted(&self.access_log.to_string_lossy());
        let upstreams = self.upstreams();
        let key = self.shared_or_own();
        let (listener, slo) = (self.listener(), self.slo());
        format!(
            "\
# Written by `sightglass demo`; it goes when the demo ends.

listeners:
  - name: public
    address: {public}
    trusted_proxies: [127.0.0.0/8]       # the crowd says whom it speaks for, in X-Forwarded-For{listener}

routes:
  - name: checkout
    match: {{path: {{prefix: /api/checkout}}}}
    upstream: checkout
    rewrite: {{strip_prefix: /api}}
    timeout: {{total: 850ms}}              # the slowest answers of the slow endpoint come too late
    max_body: 64KiB
    concurrency: 256
    retry: {{attempts: 2}}{slo}

  - name: search
    match: {{path: {{prefix: /api/search}}}}
    upstream: search
    rewrite: {{strip_prefix: /api}}
    timeout: {{total: 1s}}
    rate_limit: {{rate: {share}/s, burst: {burst}, key: {key}}}
    retry: {{attempts: 2, per_try_timeout: 400ms}}{slo}

  - name: inventory
    match: {{path: {{prefix: /api/inventory}}}}
    upstream: inventory
    rewrite: {{strip_prefix: /api}}
    timeout: {{total: 2s}}
    retry: {{attempts: 3, per_try_timeout: 500ms, backoff: 10ms..100ms}}{slo}

upstreams:
{upstreams}
telemetry:
  traces:
    {traces}
    sample: 100%
    keep: {{errors: true, retried: true, slower_than: 400ms}}
  access_log: {{output: {{file: {log}}}, format: json}}
  server_timing: true

admin:
  address: {admin}

runtime:
  workers: 2
  drain: {{deadline: 1s}}
"
        )
    }

    /// Whose allowance is eaten.
    fn shared_or_own(&self) -> &'static str {
        match self.incident {
            Some(Incident::NoisyNeighbour) => "all",
            _ => "client_ip",
        }
    }

    fn listener(&self) -> &'static str {
        match self.incident {
            Some(Incident::ConnectionLeak) => "\n    limits: {connections: 64}",
            _ => "",
        }
    }

    /// Whoever practises has promised something.
    fn slo(&self) -> &'static str {
        match self.incident {
            Some(_) => "\n    slo: {availability: 99.9%, latency: {within: 50ms, for: 99%}}",
            None => "",
        }
    }

    fn upstreams(&self) -> String {
        let mut text = String::new();
        for role in Role::ALL {
            // Each endpoint has its turn, so that the slow one shows; peak_ewma would soon pass it over.
            let _ = writeln!(
                text,
                "  - name: {}\n    balance: round_robin\n    endpoints:",
                role.name()
            );
            let own = self.services.iter().filter(|(whose, _)| *whose == role);
            for (_, address) in own {
                let _ = writeln!(text, "      - address: {address}");
            }
            if self.incident == Some(Incident::ExpiredCertificate) && role == Role::Inventory {
                let file = quoted(&self.authorities.to_string_lossy());
                let _ = writeln!(text, "    tls: {{ca: {file}}}");
            }
        }
        text
    }
}

/// Text in double quotes as YAML reads it, of which JSON's are a part.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{LogFormat, LogOutput, OtlpProtocol, Plan, parse};

    fn wiring() -> Wiring {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Wiring {
            public: at(8080),
            admin: at(9901),
            services: vec![
                (Role::Checkout, at(41_001)),
                (Role::Checkout, at(41_002)),
                (Role::Search, at(41_003)),
                (Role::Inventory, at(41_004)),
            ],
            otlp: None,
            access_log: PathBuf::from("/tmp/a: \"strange\" #place\\é/access.log"),
            requests_per_second: 40,
            incident: None,
            authorities: PathBuf::from("/tmp/none.pem"),
        }
    }

    fn plan(wiring: &Wiring) -> Plan {
        let loaded = parse(&wiring.file(), "demo.yaml").unwrap_or_else(|told| panic!("{told}"));
        assert_eq!(loaded.warnings, [], "{}", wiring.file());
        loaded.plan
    }

    #[test]
    fn the_file_is_accepted_without_a_warning_and_says_what_is_wired() {
        let wiring = wiring();
        let plan = plan(&wiring);
        assert_eq!(plan.listeners[0].name.to_string(), "public");
        assert_eq!(plan.listeners[0].address, wiring.public);
        assert_eq!(plan.admin.address, wiring.admin);
        let names: Vec<String> = plan.routes.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, ["checkout", "search", "inventory"]);
        let endpoints: Vec<usize> = plan.upstreams.iter().map(|it| it.endpoints.len()).collect();
        assert_eq!(endpoints, [2, 1, 1]);
        assert_eq!(
            plan.telemetry.access_log.output,
            LogOutput::File(wiring.access_log)
        );
        assert_eq!(plan.telemetry.access_log.format, Some(LogFormat::Json));
        assert!(plan.telemetry.server_timing);
        assert_eq!(plan.telemetry.traces.otlp, None, "OTEL_* may name one");
        assert!(plan.runtime.drain.deadline < Duration::from_secs(2));
    }

    #[test]
    fn any_load_gives_a_file_that_is_accepted() {
        for requests_per_second in [0, 1, 40, 5_000, u32::MAX] {
            let wiring = Wiring {
                requests_per_second,
                ..wiring()
            };
            assert!(plan(&wiring).routes[1].rate_limit.is_some());
        }
    }

    #[test]
    fn each_incident_gives_a_file_that_is_accepted() {
        for name in crate::demo::INCIDENTS {
            let at = SocketAddr::from(([127, 0, 0, 1], 41_005));
            let mut wiring = Wiring {
                incident: Incident::named(name),
                ..wiring()
            };
            if name == "dead-collector" {
                wiring.services.push((Role::Collector, at));
            }
            let plan = plan(&wiring);
            assert_eq!(
                plan.upstreams.len(),
                3,
                "{name}: a collector is no upstream"
            );
            assert!(plan.routes.iter().all(|it| it.slo.is_some()), "{name}");
            let otlp = plan.telemetry.traces.otlp.is_some();
            assert_eq!(otlp, name == "dead-collector", "{name}");
            let tls = plan.upstreams.iter().filter(|it| it.tls.is_some()).count();
            assert_eq!(tls, usize::from(name == "expired-certificate"), "{name}");
        }
    }

    #[test]
    fn the_collector_is_the_one_asked_for() {
        for (written, protocol) in [
            ("http://127.0.0.1:4317", OtlpProtocol::Grpc),
            ("http://127.0.0.1:4318", OtlpProtocol::Http),
        ] {
            let wiring = Wiring {
                otlp: Some(collector(written).expect("it is a URL")),
                ..wiring()
            };
            let otlp = plan(&wiring).telemetry.traces.otlp.expect("it is named");
            assert_eq!(otlp.endpoint, written);
            assert_eq!(otlp.protocol, protocol);
        }
        let told = collector("ftp://nowhere").expect_err("it is no collector's URL");
        assert!(told.to_string().starts_with("--otlp ftp://nowhere"));
    }
}
