//! The configuration around one upstream, with hooks for the keys that a test is about.
//!
//! A test that needs two routes or a second listener writes its own YAML: this saves boilerplate, it is no second
//! configuration language, and it knows no key but those that every test has.

use std::fmt;
use std::net::SocketAddr;
use std::slice::from_ref;

/// One listener `public`, one route `web` on `/`, one upstream `web`; admin and listener on free ports, two workers, the
/// access log as JSON on stdout at 100 %.
///
/// ```ignore
/// let proxy = Proxy::start(Config::new(upstream.address()).route("retry: {attempts: 3, when: [reset]}"));
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Config {
    endpoints: Vec<String>,
    listener: Vec<String>,
    route: Vec<String>,
    upstream: Vec<String>,
    telemetry: Vec<String>,
    admin: Vec<String>,
    runtime: Vec<String>,
    routes: String,
    upstreams: String,
    access_log: String,
}

/// The line that makes [`Proxy::finish`](super::Proxy::finish) count the access log.
pub(super) const FULL_ACCESS_LOG: &str = "access_log: {output: stdout, format: json, sample: 100%}";

// === impl Config ===

impl Config {
    pub(crate) fn new(endpoint: SocketAddr) -> Self {
        Self {
            endpoints: vec![format!("{{address: {endpoint}}}")],
            listener: Vec::new(),
            route: Vec::new(),
            upstream: Vec::new(),
            telemetry: Vec::new(),
            admin: Vec::new(),
            runtime: vec!["workers: 2".to_owned()],
            routes: String::new(),
            upstreams: String::new(),
            access_log: FULL_ACCESS_LOG.to_owned(),
        }
    }

    /// One more endpoint of the upstream.
    pub(crate) fn endpoint(mut self, endpoint: SocketAddr) -> Self {
        self.endpoints.push(format!("{{address: {endpoint}}}"));
        self
    }

    /// Keys of the listener, as YAML lines: `"limits: {headers: 10}"`.
    pub(crate) fn listener(mut self, yaml: &str) -> Self {
        self.listener.push(yaml.to_owned());
        self
    }

    /// Keys of the route.
    pub(crate) fn route(mut self, yaml: &str) -> Self {
        self.route.push(yaml.to_owned());
        self
    }

    /// Keys of the upstream.
    pub(crate) fn upstream(mut self, yaml: &str) -> Self {
        self.upstream.push(yaml.to_owned());
        self
    }

    /// Keys under `telemetry`.
    pub(crate) fn telemetry(mut self, yaml: &str) -> Self {
        self.telemetry.push(yaml.to_owned());
        self
    }

    /// The access log in another way than JSON on stdout at 100 %: `"access_log: {output: off}"`.
    pub(crate) fn access_log(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.access_log);
        self
    }

    /// Every trace, to this collector by gRPC.
    pub(crate) fn traces(self, collector: SocketAddr) -> Self {
        self.telemetry(&format!(
            "traces: {{otlp: {{endpoint: \"http://{collector}\", protocol: grpc}}, sample: 100%}}"
        ))
    }

    /// Keys under `admin`.
    pub(crate) fn admin(mut self, yaml: &str) -> Self {
        self.admin.push(yaml.to_owned());
        self
    }

    /// Another number of workers. With one, lines of the log come in the order of the exchanges' ends, and every request
    /// finds the upstream connection of the one before.
    pub(crate) fn workers(mut self, count: usize) -> Self {
        self.runtime[0] = format!("workers: {count}");
        self
    }

    /// Keys under `runtime`, besides `workers`.
    pub(crate) fn runtime(mut self, yaml: &str) -> Self {
        self.runtime.push(yaml.to_owned());
        self
    }

    /// Whole routes besides `web`, as a YAML list.
    pub(crate) fn more_routes(mut self, yaml: &str) -> Self {
        self.routes.push_str(yaml);
        self
    }

    /// Whole upstreams besides `web`, as a YAML list.
    pub(crate) fn more_upstreams(mut self, yaml: &str) -> Self {
        self.upstreams.push_str(yaml);
        self
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "listeners:\n  - name: public\n    address: 127.0.0.1:0\n{}",
            indented(4, &self.listener)
        )?;
        write!(
            f,
            "routes:\n  - name: web\n    match: {{path: {{prefix: /}}}}\n    upstream: web\n"
        )?;
        write!(
            f,
            "{}{}",
            indented(4, &self.route),
            indented(2, from_ref(&self.routes))
        )?;
        write!(
            f,
            "upstreams:\n  - name: web\n    endpoints: [{}]\n",
            self.endpoints.join(", ")
        )?;
        write!(
            f,
            "{}{}",
            indented(4, &self.upstream),
            indented(2, from_ref(&self.upstreams))
        )?;
        write!(
            f,
            "telemetry:\n{}{}",
            indented(2, from_ref(&self.access_log)),
            indented(2, &self.telemetry)
        )?;
        write!(
            f,
            "admin:\n  address: 127.0.0.1:0\n{}",
            indented(2, &self.admin)
        )?;
        write!(f, "runtime:\n{}", indented(2, &self.runtime))
    }
}

/// The lines with this many spaces before each; what they are indented by already is taken off as a whole.
fn indented(spaces: usize, blocks: &[String]) -> String {
    let mut out = String::new();
    for block in blocks {
        let lines = || block.lines().filter(|line| !line.trim().is_empty());
        let common = lines()
            .map(|line| line.len() - line.trim_start().len())
            .min()
            .unwrap_or(0);
        for line in lines() {
            out.push_str(&format!("{:spaces$}{}\n", "", &line[common..]));
        }
    }
    out
}
