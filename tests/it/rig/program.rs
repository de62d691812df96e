//! A child process whose output is read all the time and which never outlives its owner.
//!
//! The proxy and the real partners run as one. Output is drained by a thread a stream, because a full pipe would stop the
//! child; it is kept whole, because a failing test wants to show it. A child is stopped by its own process id, never by
//! name: other tests run the same programs next to it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{PATIENCE, try_wait_until};

/// A running child process.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: Drain,
    stderr: Drain,
}

/// What one stream of the child has said so far.
struct Drain {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

// === impl Program ===

impl Program {
    /// Starts the command with its input closed and its output captured.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let stdout = Drain::new(child.stdout.take());
        let stderr = Drain::new(child.stderr.take());
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The whole lines it has written to stdout so far.
    pub(crate) fn stdout_lines(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// The whole lines it has written to stderr so far.
    pub(crate) fn stderr_lines(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// Waits until `is_ready` finds something.
    ///
    /// # Panics
    /// Where the program ends first or `patience` runs out; the message carries what it wrote.
    pub(crate) fn wait_ready<T>(
        &mut self,
        patience: Duration,
        mut is_ready: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = is_ready(self) {
                return found;
            }
            if let Some(status) = self.exited() {
                // It may have said the word just before it went.
                self.join_readers();
                return is_ready(self).unwrap_or_else(|| {
                    panic!("{} ended with {status}\n{}", self.name, self.said())
                });
            }
            assert!(
                Instant::now() < deadline,
                "{} was not ready within {patience:?}\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its short name: `TERM`, `HUP`, `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        // The shell's own kill: a minimal image has no such program, and std knows no signals.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.pid())])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{signal} cannot be sent to {}",
            self.name
        );
    }

    /// The exit status, if it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the end and for the last of the output.
    ///
    /// # Panics
    /// Where it runs for longer than `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        if !try_wait_until(patience, || self.exited().is_some()) {
            panic!(
                "{} still runs after {patience:?}\n{}",
                self.name,
                self.said()
            );
        }
        self.join_readers();
        self.exited().expect("it has ended")
    }

    /// What it wrote, for messages.
    pub(crate) fn said(&self) -> String {
        let lines = |drain: &Drain| {
            let lines = drain.lines();
            lines[lines.len().saturating_sub(100)..].join("\n")
        };
        format!(
            "--- stdout of {0} (end)\n{1}\n--- stderr of {0} (end)\n{2}\n---",
            self.name,
            lines(&self.stdout),
            lines(&self.stderr)
        )
    }

    fn join_readers(&mut self) {
        self.stdout.join();
        self.stderr.join();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
        // It may have children of its own that only it can end: asked first, killed when it does not listen.
        self.signal("TERM");
        if !try_wait_until(Duration::from_secs(1).min(PATIENCE), || {
            self.exited().is_some()
        }) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

// === impl Drain ===

impl Drain {
    fn new(stream: Option<impl Read + Send + 'static>) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&lines);
        let reader = stream.map(|stream| {
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    filled
                        .lock()
                        .expect("no reader of the lines panics")
                        .push(line);
                }
            })
        });
        Self { lines, reader }
    }

    fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .expect("no writer of the lines panics")
            .clone()
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader of output does not panic");
        }
    }
}
