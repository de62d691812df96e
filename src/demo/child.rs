//! The proxy: this very program again, as a child that does not outlive the demo.
//!
//! The language's own library can start a process and kill it, but not ask it to end; `unsafe` is forbidden here, and the
//! demo is not worth a crate. So a second, tiny child stands by, the warden: a shell that waits on a pipe from us and,
//! when the pipe closes, sends SIGTERM to the proxy. It closes when we want the proxy to drain, and just as well when the
//! demo dies in a way that runs no code of ours, SIGKILL included. Where there is no shell the proxy is killed.
//!
//! Both have a process group of their own: Ctrl-C in a terminal reaches the demo alone, which then ends things in order.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// The proxy while it runs; killed when dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    warden: Option<std::process::Child>,
    reader: Option<JoinHandle<()>>,
    ready: Option<oneshot::Receiver<Result<Ready, String>>>,
}

/// What the ready line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// Where clients come in.
    pub(super) public: SocketAddr,
    /// The admin port.
    pub(super) admin: SocketAddr,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The program does not start.
    #[error("cannot start the proxy: {0}")]
    Start(#[source] io::Error),
    /// It ended before it was ready; what it said.
    #[error("the proxy did not start: {0}")]
    NotReady(String),
    /// It is not ready in time.
    #[error("the proxy is not ready after {0:?}")]
    Late(Duration),
    /// It ended by itself; what it said went to stderr.
    #[error("the proxy has ended by itself ({0})")]
    Ended(ExitStatus),
    /// Nobody knows whether it runs.
    #[error("cannot ask after the proxy: {0}")]
    Lost(#[source] io::Error),
}

/// How its ready line begins.
const READY: &str = "sightglass ready:";
/// How many of the lines before the ready line are kept, to be told if there never is one.
const KEPT_LINES: usize = 20;
/// A longer line is cut in two.
const LONGEST_LINE: u64 = 16 << 10;
/// How often a child that should end is looked at.
const LOOK: Duration = Duration::from_millis(20);

// === impl Child ===

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub(super) fn spawn(program: &Path, arguments: &[&OsStr]) -> Result<Self, ChildError> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        in_own_group(&mut command);
        let mut process = command.spawn().map_err(ChildError::Start)?;
        let warden = warden(process.id()).ok();
        let (sender, ready) = oneshot::channel();
        let reader = process.stderr.take().map(|stderr| {
            let name = "demo-stderr".to_owned();
            let read = move || read_lines(stderr, sender);
            thread::Builder::new().name(name).spawn(read)
        });
        let mut child = Self {
            process,
            warden,
            reader: None,
            ready: Some(ready),
        };
        child.reader = reader.transpose().map_err(ChildError::Start)?;
        Ok(child)
    }

    /// Waits for the ready line; asked once.
    ///
    /// # Errors
    /// That it ended instead, with what it said.
    pub(super) async fn ready(&mut self) -> Result<Ready, ChildError> {
        let told = match self.ready.take() {
            Some(ready) => ready.await.unwrap_or_else(|_| Err(String::new())),
            None => Err("it was asked twice".to_owned()),
        };
        told.map_err(ChildError::NotReady)
    }

    /// Waits until it has ended, by itself or because it was told to; tells how. Cancel safe.
    pub(super) async fn ended(&mut self) -> ChildError {
        loop {
            match self.process.try_wait() {
                Ok(None) => sleep(LOOK).await,
                Ok(Some(status)) => return ChildError::Ended(status),
                Err(error) => return ChildError::Lost(error),
            }
        }
    }

    /// Ends it: it may drain, but not for longer than this. All that it said has been passed on then. Cancel safe: the
    /// drop kills it.
    pub(super) async fn stop(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        // The warden ends with its pipe, and that tells the proxy.
        if let Some(warden) = &mut self.warden {
            drop(warden.stdin.take());
            let _ = tokio::time::timeout_at(deadline, self.ended()).await;
        }
        self.kill();
    }

    /// Kills what still runs, and waits for it: after SIGKILL that does not take long.
    fn kill(&mut self) {
        // The warden first: it must not outlive the number that it knows the proxy by.
        if let Some(mut warden) = self.warden.take() {
            let _ = warden.kill();
            let _ = warden.wait();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Ready ===

impl Ready {
    /// Reads `sightglass ready: public=127.0.0.1:8080 admin=127.0.0.1:9901`.
    fn read(line: &str) -> Option<Self> {
        let words = line.trim().strip_prefix(READY)?;
        let named = |name: &str| {
            let mut pairs = words.split_whitespace().filter_map(|it| it.split_once('='));
            pairs.find(|(key, _)| *key == name)?.1.parse().ok()
        };
        Some(Self {
            public: named("public")?,
            admin: named("admin")?,
        })
    }
}

/// Starts the process that sends SIGTERM to another when its standard input ends.
fn warden(process: u32) -> io::Result<std::process::Child> {
    if !cfg!(unix) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "read -r never; kill -TERM \"$1\"", "sightglass-demo"])
        .arg(process.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    in_own_group(&mut command);
    command.spawn()
}

fn in_own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Reads what the proxy says until it has ended; passes all but the ready line through. A thread of its own, because a
/// terminal that is slow to take it must hold up nothing else.
fn read_lines(stderr: ChildStderr, ready: oneshot::Sender<Result<Ready, String>>) {
    let mut stderr = BufReader::new(stderr);
    let mut ready = Some(ready);
    let mut before: VecDeque<String> = VecDeque::new();
    while let Some(line) = read_line(&mut stderr) {
        match Ready::read(&line).filter(|_| ready.is_some()) {
            Some(read) => {
                before.drain(..).for_each(|line| pass_on(&line));
                ready.take().map(|ready| ready.send(Ok(read)));
            }
            None if ready.is_some() => {
                if before.len() == KEPT_LINES {
                    before.pop_front();
                }
                before.push_back(line);
            }
            None => pass_on(&line),
        }
    }
    if let Some(ready) = ready {
        let told: String = before.into_iter().collect();
        let told = match told.trim() {
            "" => "it said nothing",
            told => told,
        };
        // Who asked may have left by a signal.
        let _ = ready.send(Err(told.to_owned()));
    }
}

/// The next line with its end; none when there are no more.
fn read_line(stderr: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let mut limited = stderr.take(LONGEST_LINE);
    match limited.read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).into_owned()),
    }
}

fn pass_on(line: &str) {
    // Where our own stderr is gone, nobody wants to read it.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    const READY_LINE: &str =
        "echo 'sightglass ready: public=127.0.0.1:81 admin=127.0.0.1:91' >&2; ";

    fn shell(script: &str) -> Child {
        let arguments = ["-c".as_ref(), script.as_ref()];
        Child::spawn(Path::new("/bin/sh"), &arguments).expect("there is a shell")
    }

    fn within_a_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("there is a runtime").block_on(work)
    }

    #[test]
    fn the_ready_line_names_both_addresses() {
        let read = Ready::read("sightglass ready: public=127.0.0.1:8080 admin=[::1]:9901\n");
        let ready = read.expect("it is one");
        assert_eq!(ready.public.port(), 8080);
        assert_eq!(ready.admin.port(), 9901);
        for other in ["", "ready", "sightglass ready: public=127.0.0.1:8080", "x"] {
            assert_eq!(Ready::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_child_that_is_told_to_end_may_drain() {
        within_a_runtime(async {
            let script =
                format!("trap 'sleep 0.1; exit 3' TERM; {READY_LINE} while :; do sleep 0.02; done");
            let mut child = shell(&script);
            assert_eq!(child.ready().await.expect("it is ready").public.port(), 81);
            let warden = child.warden.as_mut().expect("there is a shell");
            drop(warden.stdin.take());
            let ended = child.ended().await;
            let ChildError::Ended(status) = ended else {
                panic!("{ended}")
            };
            assert_eq!(status.code(), Some(3), "it was asked, not killed");
            child.stop(Duration::from_secs(5)).await;
        });
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        within_a_runtime(async {
            let mut child = shell(&format!(
                "trap '' TERM; {READY_LINE} while :; do sleep 0.02; done"
            ));
            child.ready().await.expect("it is ready");
            let before = Instant::now();
            child.stop(Duration::from_millis(200)).await;
            assert!(before.elapsed() >= Duration::from_millis(200));
            assert!(before.elapsed() < Duration::from_secs(5));
            let status = child.process.try_wait().expect("it can be asked after");
            assert!(!status.expect("it has ended").success());
        });
    }

    #[test]
    fn a_child_that_ends_at_once_is_told_with_its_words() {
        within_a_runtime(async {
            let mut child = shell("echo 'cannot listen on 127.0.0.1:8080' >&2; exit 1");
            let error = child.ready().await.expect_err("it is never ready");
            let told = "the proxy did not start: cannot listen on 127.0.0.1:8080";
            assert_eq!(error.to_string(), told);
        });
    }

    #[test]
    fn a_long_line_is_cut_and_none_is_lost() {
        let text = vec![b'x'; 40 << 10];
        let mut reader = BufReader::new(text.as_slice());
        let mut length = 0;
        while let Some(line) = read_line(&mut reader) {
            length += line.len();
        }
        assert_eq!(length, text.len());
    }
}
