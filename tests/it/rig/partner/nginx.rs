//! nginx as an upstream: a real server with files of three sizes and a log to compare with.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::super::program::Program;
use super::{Reserved, START, partner};

/// A running nginx with `/small` (6 bytes), `/64k` and `/1m`.
pub(crate) struct Nginx {
    program: Program,
    port: Reserved,
    dir: TempDir,
}

impl Nginx {
    /// Starts it; none where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same with more lines inside the `server` block.
    pub(crate) fn start_with(server: &str) -> Option<Self> {
        let path = partner("nginx")?;
        let dir = TempDir::new().expect("a temporary directory can be made");
        let port = Reserved::new();
        let address = port.address();
        let root = dir.path().join("root");
        fs::create_dir(&root).expect("a temporary directory takes folders");
        for (name, length) in [("64k", 64 * 1024), ("1m", 1024 * 1024)] {
            fs::write(root.join(name), vec![b'x'; length])
                .expect("a temporary directory takes files");
        }
        fs::write(root.join("small"), "small\n").expect("a temporary directory takes files");
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config(address, server)).expect("a temporary directory takes files");
        let mut command = Command::new(path);
        command
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg("stderr");
        let mut program = Program::start("nginx", command);
        program.wait_ready(START, |_| std::net::TcpStream::connect(address).ok());
        Some(Self { program, port, dir })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its access log: `method target status connection x-request-id traceparent`, a line a request. It is written when
    /// a response is out, so poll it.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.lines_of("access.log")
    }

    /// The lines of any log, by its name in the lines given to [`Nginx::start_with`].
    pub(crate) fn lines_of(&self, log: &str) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join(log)).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// One process in the foreground: nothing is left behind when it is killed, and as root no other user's rights are
/// needed in the temporary directory.
fn config(address: SocketAddr, server: &str) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 1000000;
  log_format rig '$request_method $request_uri $status $connection $http_x_request_id $http_traceparent';
  log_format facts escape=json '{{\"method\":\"$request_method\",\"target\":\"$request_uri\",\"host\":\"$http_host\",'
    '\"status\":$status,\"length\":\"$upstream_http_x_length\"}}';
  access_log access.log rig;
  default_type text/plain;
  server {{
    listen {address};
    root root;
    {server}
  }}
}}
"
    )
}
