//! grpcio on both sides.

use std::path::PathBuf;
use std::process::Command;

use super::super::rig::partner::{output, python_with};
use super::super::rig::{Authority, Config, Identity, Program, Proxy, Upstream};

const SERVICE: &str = include_str!("service.py");
const CLIENT: &str = include_str!("client.py");

/// The service, and where it is.
struct Service {
    program: Program,
    port: u16,
}

impl Service {
    fn start(python: &PathBuf) -> Self {
        Self::start_with(python, |_| ())
    }

    /// Over TLS with this certificate.
    fn start_tls(python: &PathBuf, identity: &Identity) -> Self {
        Self::start_with(python, |command| {
            command
                .env("CERT", &identity.cert)
                .env("KEY", &identity.key);
        })
    }

    fn start_with(python: &PathBuf, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(python);
        command.args(["-u", "-c", SERVICE]);
        prepare(&mut command);
        let mut program = Program::start("a grpcio service", command);
        let port = program.wait_ready(super::super::rig::PATIENCE, |program| {
            program.stdout_lines().first()?.parse().ok()
        });
        Self { program, port }
    }

    fn config(&self) -> Config {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        Config::new(address).upstream("protocol: http2")
    }

    /// Waits until it has said this so many times.
    fn wait_said(&self, word: &str, times: usize) {
        super::super::rig::wait_until("the service hears of it", || {
            let said = self.program.stdout_lines();
            said.iter().filter(|line| *line == word).count() == times
        });
    }
}

/// What the client prints of these calls through the proxy.
fn client(python: &PathBuf, proxy: &Proxy, calls: &[&str]) -> String {
    output(&mut calling(python, proxy, calls))
}

fn calling(python: &PathBuf, proxy: &Proxy, calls: &[&str]) -> Command {
    let mut command = Command::new(python);
    let address = proxy.public().to_string();
    command.args(["-c", CLIENT, &address]).args(calls);
    command
}

#[test]
fn every_kind_of_call_goes_through_whole() {
    let Some(python) = python_with("grpc") else {
        return;
    };
    let service = Service::start(&python);
    let proxy = Proxy::start(service.config());
    assert_eq!(
        client(&python, &proxy, &["unary", "metadata", "streams", "errors"]),
        "hello\n0 True\n4194304 True\n20971520 True\nTrue True word\n0123456789\n20000\n5242880\n\
         ONE\nTWO\nTHREE\n[] OK\n\
         NOT_FOUND 'café: 100% no\\nmore' b'\\x08\\t\\x12\\x02no'\n\
         PERMISSION_DENIED 'café: 100% no\\nmore' b'\\x08\\t\\x12\\x02no'\n\
         INTERNAL 'café: 100% no\\nmore' b'\\x08\\t\\x12\\x02no'\nUNIMPLEMENTED\n"
    );
    let count = |word| {
        let labels = [("grpc_status", word)];
        proxy
            .metrics()
            .sum("sightglass_grpc_requests_total", &labels)
    };
    proxy.wait_until("all are counted", || count("OK") == 9.0);
    assert_eq!(
        [
            "NOT_FOUND",
            "PERMISSION_DENIED",
            "INTERNAL",
            "UNIMPLEMENTED"
        ]
        .map(count),
        [1.0; 4]
    );
    let lines = proxy.wait_log_lines(13);
    assert!(
        lines.iter().all(|line| line["outcome"] == "served"),
        "{lines:?}"
    );
    proxy.finish();
}

#[test]
fn a_call_that_is_given_up_or_out_of_time_ends_at_the_service() {
    let Some(python) = python_with("grpc") else {
        return;
    };
    let service = Service::start(&python);
    let proxy = Proxy::start(service.config());
    assert_eq!(client(&python, &proxy, &["cancel"]), "first\nCANCELLED\n");
    service.wait_said("over", 1);
    assert_eq!(
        client(&python, &proxy, &["deadline"]),
        "True\nDEADLINE_EXCEEDED\n"
    );
    service.wait_said("over", 2);
    proxy.finish();

    let proxy = Proxy::start(service.config().route("timeout: {total: 3s}"));
    // The service is told of the route's time: whichever of the two ends it first, it is the same status.
    let told = client(&python, &proxy, &["routes_total"]);
    assert!(told.starts_with("DEADLINE_EXCEEDED "), "{told}");
    service.wait_said("over", 3);
    proxy.finish();
}

/// What `unary` and `streams` of the client print.
const WHOLE: &str = "hello\n0 True\n4194304 True\n20971520 True\n0123456789\n20000\n5242880\n\
    ONE\nTWO\nTHREE\n[] OK\n";

#[test]
fn over_tls_on_both_sides_all_is_as_without() {
    let Some(python) = python_with("grpc") else {
        return;
    };
    let authority = Authority::new();
    let identity = authority.server(&["localhost", "127.0.0.1"]);
    let service = Service::start_tls(&python, &identity);
    let ca = authority.ca();
    let proxy = Proxy::start(
        service
            .config()
            .listener(&format!("tls: {{certificates: [{}]}}", identity.yaml()))
            .upstream(&format!("tls: {{ca: \"{}\"}}", ca.display())),
    );
    let run = |calls: &[&str]| output(calling(&python, &proxy, calls).env("CA", &ca));
    assert_eq!(run(&["unary", "streams"]), WHOLE);
    assert_eq!(run(&["cancel"]), "first\nCANCELLED\n");
    service.wait_said("over", 1);
    assert_eq!(run(&["deadline"]), "True\nDEADLINE_EXCEEDED\n");
    service.wait_said("over", 2);
    let lines = proxy.wait_log_lines(11);
    for line in &lines {
        assert_eq!(
            (&line["tls"], &line["protocol"]),
            (&"1.3".into(), &"HTTP/2".into())
        );
        assert_eq!(line["scheme"], "https", "{line}");
    }
    proxy.finish();
}

#[test]
fn a_client_of_grpc_understands_what_the_proxy_says() {
    let Some(python) = python_with("grpc") else {
        return;
    };
    let dead = Config::new(Upstream::refuse().address()).upstream("protocol: http2");
    let proxy = Proxy::start(dead);
    assert_eq!(
        client(&python, &proxy, &["once"]),
        "UNAVAILABLE 'The service refused the connection'\n"
    );
    proxy.finish();

    let service = Service::start(&python);
    let limited = service.config().route("rate_limit: {rate: 1/m, burst: 1}");
    let proxy = Proxy::start(limited);
    assert_eq!(
        client(&python, &proxy, &["once", "once"]),
        "x\nRESOURCE_EXHAUSTED 'Too many requests'\n"
    );
    proxy.finish();

    let retrying = service
        .config()
        .route("retry: {attempts: 3, when: [grpc_unavailable], backoff: 1ms..1ms}");
    let proxy = Proxy::start(retrying);
    assert_eq!(client(&python, &proxy, &["flaky"]), "done\n");
    let labels = [("reason", "grpc_unavailable")];
    assert_eq!(
        proxy.metrics().sum("sightglass_retries_total", &labels),
        2.0
    );
    proxy.finish();
}
