//! Clients and services that we did not write, through the proxy: curl, h2load, Python's http.server and grpcio;
//! [`sockets`] has the WebSockets, [`browser`] Chromium, [`dashboard`] what Chromium makes of the admin port's page.

mod browser;
mod dashboard;
mod sockets;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::rig::partner::{Nginx, output, partner, python_with};
use super::rig::{Config, Proxy, Upstream};

/// A Python program that serves until it is dropped.
pub(super) struct Served {
    child: Child,
    pub(super) address: SocketAddr,
}

// === impl Served ===

impl Served {
    /// Starts a program that prints its port as its first line.
    pub(super) fn start(python: &PathBuf, script: &str) -> Self {
        Self::run(python, &["-u", "-c", script])
    }

    /// The same of any program.
    fn run(program: &PathBuf, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is ours");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it prints its port");
        let port: u16 = line.trim().parse().expect("a port");
        Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn curl_gets_and_uploads_over_both_protocols() {
    let Some(curl) = partner("curl") else { return };
    let upstream = Upstream::echo();
    let proxy = Proxy::start(Config::new(upstream.address()));
    let body = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    // More than a megabyte: curl then asks first, with Expect: 100-continue.
    std::fs::write(body.path(), vec![b'x'; 3 << 20]).expect("a temporary file takes bytes");
    let url = format!("http://{}/upload", proxy.public());
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let got = output(Command::new(&curl).args(["-sS", version, "-w", " %{http_code}", &url]));
        assert!(got.ends_with(" 200"), "{version}: {got}");
        let sent = output(
            Command::new(&curl)
                .args([
                    "-sS",
                    version,
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code} %{size_upload}",
                ])
                .arg("--data-binary")
                .arg(format!("@{}", body.path().display()))
                .arg(&url),
        );
        assert_eq!(sent, format!("200 {}", 3 << 20), "{version}");
    }
    assert_eq!(proxy.wait_log_lines(6).len(), 6);
    proxy.finish();
}

#[test]
fn h2load_finds_every_stream_answered() {
    let Some(h2load) = partner("h2load") else {
        return;
    };
    let Some(nginx) = Nginx::start() else { return };
    let proxy = Proxy::start(Config::new(nginx.address()));
    let url = format!("http://{}/small", proxy.public());
    for (clients, streams) in [("1", "1"), ("1", "100"), ("3", "100")] {
        let load = ["-n", "600", "-c", clients, "-m", streams, &url];
        let told = output(Command::new(&h2load).args(load));
        assert!(
            told.contains("600 succeeded, 0 failed, 0 errored, 0 timeout"),
            "{told}"
        );
    }
    let metrics = proxy.metrics();
    let served = [("outcome", "served")];
    let count = metrics.sum("http_server_request_duration_seconds_count", &served);
    assert_eq!(count, 1800.0);
    proxy.finish();
}

#[test]
fn pythons_http_server_is_served() {
    let Some(python) = python_with("http.server") else {
        return;
    };
    let served = Served::start(
        &python,
        "import http.server, os, tempfile
os.chdir(tempfile.mkdtemp())
open('page', 'w').write('a page')
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
print(server.server_port)
server.serve_forever()",
    );
    let proxy = Proxy::start(Config::new(served.address));
    for _ in 0..3 {
        let page = super::rig::get(proxy.public(), "/page");
        assert_eq!((page.status, page.text()), (200, "a page".to_owned()));
        assert_eq!(page.version, "HTTP/1.1", "the upstream's own is 1.0");
    }
    assert_eq!(super::rig::get(proxy.public(), "/missing").status, 404);
    proxy.finish();
}

#[test]
fn grpcio_calls_grpcio() {
    let Some(python) = python_with("grpc") else {
        return;
    };
    let served = Served::start(
        &python,
        "import grpc
from concurrent import futures
class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == '/t/Echo':
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        if call.method == '/t/Count':
            return grpc.unary_stream_rpc_method_handler(lambda request, context: (b'%d' % n for n in range(5)))
        if call.method == '/t/Refuse':
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'no'))
server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handler()])
print(server.add_insecure_port('127.0.0.1:0'))
server.start()
server.wait_for_termination()",
    );
    let proxy = Proxy::start(Config::new(served.address).upstream("protocol: http2"));
    let told = output(Command::new(&python).args([
        "-c",
        "import grpc, sys
channel = grpc.insecure_channel(sys.argv[1])
print(channel.unary_unary('/t/Echo')(b'hello', timeout=10).decode())
print(len(channel.unary_unary('/t/Echo')(b'x' * 1000000, timeout=10)))
print(b''.join(channel.unary_stream('/t/Count')(b'', timeout=10)).decode())
try:
    channel.unary_unary('/t/Refuse')(b'', timeout=10)
except grpc.RpcError as error:
    print(error.code().name, error.details())",
        &proxy.public().to_string(),
    ]));
    assert_eq!(told, "hello\n1000000\n01234\nFAILED_PRECONDITION no\n");
    let lines = proxy.wait_log_lines(4);
    let statuses: Vec<_> = lines.iter().map(|line| &line["grpc_status"]).collect();
    assert_eq!(statuses, [0, 0, 0, 9]);
    proxy.finish();
}
