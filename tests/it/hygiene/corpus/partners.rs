//! The three real upstreams, each of which tells what it understood of every request.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use super::super::super::rig::partner::{Nginx, Reserved, partner};
use super::super::super::rig::{PATIENCE, Program};

/// What a server understood of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    /// The length of the body; none where its end never came.
    pub(super) length: Option<usize>,
}

/// A real server that answers every request with its method and target.
pub(super) struct Witness {
    address: SocketAddr,
    server: Server,
}

enum Server {
    /// With the hold on its second port.
    Nginx(
        Nginx,
        #[expect(dead_code, reason = "held, not read")] Reserved,
    ),
    Script(Program),
}

const PYTHON: &str = r#"
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1  # head and body in one piece
    def __getattr__(self, name):
        if name.startswith('do_'):
            return self.serve
        raise AttributeError(name)
    def log_message(self, *words):
        pass
    def body(self):
        if 'transfer-encoding' not in self.headers:
            length = int(self.headers.get('content-length', 0))
            return length if len(self.rfile.read(length)) == length else None
        length = 0
        while True:
            line = self.rfile.readline()
            if not line.endswith(b'\r\n'):
                return None
            size = int(line, 16)
            if len(self.rfile.read(size)) < size:
                return None
            length += size
            line = self.rfile.readline()
            while size == 0 and line not in (b'\r\n', b''):
                line = self.rfile.readline()
            if line != b'\r\n':
                return None
            if size == 0:
                return length
    def serve(self):
        length = self.body()
        fact = {'method': self.command, 'target': self.path, 'host': self.headers.get('host', ''), 'length': length}
        os.write(1, (json.dumps(fact) + '\n').encode())  # whole, whichever thread it is
        if length is None:
            self.close_connection = True
            return
        body = f'{self.command} {self.path}'.encode('latin-1')
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

const NODE: &str = r"
const http = require('http');
const server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  let length = 0;
  const tell = whole => console.log(JSON.stringify({
    method: request.method, target: request.url, host: request.headers.host || '', length: whole ? length : null }));
  request.on('data', piece => { length += piece.length; });
  request.on('error', () => {});
  request.on('close', () => { if (!request.complete) tell(false); });
  request.on('end', () => {
    tell(true);
    const body = `${request.method} ${request.url}`;
    response.writeHead(200, { 'content-length': Buffer.byteLength(body) });
    response.end(request.method === 'HEAD' ? '' : body);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
";

// === impl Witness ===

impl Witness {
    /// nginx in front of itself: the first server is the one that understands our requests, the second tells it how long
    /// their bodies are.
    pub(super) fn nginx() -> Option<Self> {
        let inner = Reserved::new();
        let second = inner.address();
        let nginx = Nginx::start_with(&format!(
            "access_log facts.log facts;
    client_max_body_size 0;
    location / {{
      proxy_pass http://{second};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
    }}
  }}
  server {{
    listen {second};
    access_log off;
    client_max_body_size 0;
    add_header X-Length $content_length always;
    location / {{ return 200 \"$request_method $request_uri\"; }}"
        ))?;
        Some(Self {
            address: nginx.address(),
            server: Server::Nginx(nginx, inner),
        })
    }

    /// Python's http.server.
    pub(super) fn python() -> Option<Self> {
        let mut command = Command::new(partner("python3")?);
        command.args(["-u", "-c", PYTHON]);
        Some(Self::script("python", command))
    }

    /// Node's http.
    pub(super) fn node() -> Option<Self> {
        let mut command = Command::new(partner("node")?);
        command.args(["-e", NODE]);
        Some(Self::script("node", command))
    }

    fn script(name: &str, command: Command) -> Self {
        let mut program = Program::start(name, command);
        let port: u16 = program.wait_ready(PATIENCE, |program| {
            program.stdout_lines().first()?.trim().parse().ok()
        });
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            server: Server::Script(program),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has understood, in its order, without the first `known`.
    pub(super) fn facts_after(&self, known: usize) -> Vec<Fact> {
        let lines = match &self.server {
            Server::Nginx(nginx, _) => nginx.lines_of("facts.log"),
            Server::Script(program) => program.stdout_lines().into_iter().skip(1).collect(),
        };
        let fact = |line: &String| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let length = match &line["length"] {
                // nginx: where it passed the request on, a body without a length is none.
                Value::String(length) if line["status"] == 200 => Some(length.parse().unwrap_or(0)),
                Value::Number(length) => length.as_u64().and_then(|it| usize::try_from(it).ok()),
                _ => None,
            };
            Fact {
                method: text("method"),
                target: text("target"),
                host: text("host"),
                length,
            }
        };
        lines.iter().skip(known).map(fact).collect()
    }
}
