//! Where it goes: a pipe, a terminal, a file that is moved away, standard error, nowhere.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::rig::partner::partner;
use super::super::rig::{Config, Proxy, Upstream, get, wait_until};
use super::logs;

/// The lines of a file, once there are so many.
fn lines_of(file: &Path, count: usize) -> Vec<String> {
    let lines = || -> Vec<String> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    wait_until(&format!("{count} lines in {}", file.display()), || {
        lines().len() >= count
    });
    assert_eq!(lines().len(), count, "{:?}", lines());
    lines()
}

#[test]
fn text_is_one_plain_line_a_request_where_nobody_watches() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address()).access_log("access_log: {format: text}");
    let proxy = Proxy::start_with(config, |command| {
        command.env_remove("NO_COLOR");
    });
    assert_eq!(get(proxy.public(), "/cart?token=hush").status, 200);
    upstream.shut();
    assert_eq!(get(proxy.public(), "/cart").status, 502);
    proxy.wait_until("two lines", || proxy.stdout().lines().count() == 2);
    let stdout = proxy.stdout();
    assert!(!stdout.contains('\x1b'), "no colour: {stdout:?}");
    assert!(!stdout.contains("hush"));
    for words in [
        vec!["200", "GET", "test/cart", "ms"],
        vec!["502", "GET", "test/cart", "connection_refused"],
    ] {
        assert!(
            stdout
                .lines()
                .any(|line| words.iter().all(|it| line.contains(it))),
            "{words:?} in {stdout}"
        );
    }
    proxy.finish();
}

/// Runs what follows with a terminal for its standard output, and copies what it shows there.
const ON_A_TERMINAL: &str = "
import os, pty, signal, sys
stderr = os.dup(2)
child, shown = pty.fork()
if child == 0:
    os.dup2(stderr, 2)
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    try:
        os.write(1, os.read(shown, 65536))
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn a_terminal_is_shown_coloured_text_unless_told_otherwise() {
    let Some(python) = partner("python3") else {
        return;
    };
    let upstream = Upstream::ok("hello");
    let show = |access_log: &str, no_color: bool| {
        let config = Config::new(upstream.address()).access_log(access_log);
        let mut proxy = Proxy::start_with(config, |command| {
            let mut wrapped = Command::new(&python);
            wrapped
                .args(["-c", ON_A_TERMINAL])
                .arg(command.get_program());
            wrapped.args(command.get_args()).env_remove("NO_COLOR");
            if no_color {
                wrapped.env("NO_COLOR", "1");
            }
            *command = wrapped;
        });
        assert_eq!(get(proxy.public(), "/cart").status, 200);
        proxy.wait_until("a line", || proxy.stdout().contains("/cart"));
        assert!(proxy.stop().success());
        proxy.stdout()
    };
    let shown = show("access_log: {output: stdout}", false);
    assert!(shown.contains("\x1b[32m200\x1b[0m"), "{shown:?}");
    let shown = show("access_log: {output: stdout}", true);
    assert!(
        shown.contains(" 200 GET ") && !shown.contains('\x1b'),
        "{shown:?}"
    );
    let shown = show("access_log: {output: stdout, format: json}", false);
    assert!(
        shown.trim_start().starts_with('{') && !shown.contains('\x1b'),
        "{shown:?}"
    );
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_at_a_hangup() {
    let upstream = Upstream::ok("hello");
    let config =
        Config::new(upstream.address()).access_log("access_log: {output: {file: access.log}}");
    let proxy = Proxy::start(config);
    let (file, moved) = (
        proxy.dir().join("access.log"),
        proxy.dir().join("access.log.1"),
    );
    assert_eq!(get(proxy.public(), "/first").status, 200);
    assert!(lines_of(&file, 1)[0].contains("/first"));
    fs::rename(&file, &moved).expect("the file can be moved");
    assert_eq!(get(proxy.public(), "/second").status, 200);
    assert!(
        lines_of(&moved, 2)[1].contains("/second"),
        "it is still the open one"
    );
    proxy.signal("HUP");
    proxy.wait_until("the new file, with nothing to write", || file.exists());
    assert_eq!(get(proxy.public(), "/third").status, 200);
    assert!(lines_of(&file, 1)[0].contains("/third"));
    assert_eq!(lines_of(&moved, 2).len(), 2);
    proxy.wait_until("each line is accounted for", || {
        logs(&proxy, "exported") == 3.0
    });
    assert_eq!(proxy.stdout(), "");
    proxy.finish();
}

#[test]
fn a_file_is_appended_to_and_one_that_cannot_be_opened_is_said_at_the_start() {
    let upstream = Upstream::ok("hello");
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("access.log");
    fs::write(&file, "from before\n").expect("a temporary directory takes files");
    let to = |file: &Path| {
        let output = format!("access_log: {{output: {{file: {}}}}}", file.display());
        Config::new(upstream.address()).access_log(&output)
    };
    let proxy = Proxy::start(to(&file));
    assert_eq!(get(proxy.public(), "/").status, 200);
    assert_eq!(lines_of(&file, 2)[0], "from before");
    proxy.finish();

    let nowhere = dir.path().join("no/such/folder/access.log");
    let config = dir.path().join("sightglass.yaml");
    fs::write(&config, to(&nowhere).to_string()).expect("a temporary directory takes files");
    let output = Proxy::output(&["run", "--config", &config.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("access log") && said.contains("no/such/folder"),
        "{said}"
    );
}

#[test]
fn it_can_go_to_stderr_or_nowhere() {
    let upstream = Upstream::ok("hello");
    let log = |output: &str| {
        Config::new(upstream.address()).access_log(&format!("access_log: {{output: {output}}}"))
    };
    let proxy = Proxy::start(log("stderr"));
    assert_eq!(get(proxy.public(), "/here").status, 200);
    proxy.wait_until("the line", || proxy.stderr().contains("\"path\":\"/here\""));
    assert_eq!(proxy.stdout(), "");
    proxy.finish();

    let proxy = Proxy::start(log("off"));
    assert_eq!(get(proxy.public(), "/here").status, 200);
    proxy.wait_until("the exchange is recorded", || {
        let exchanges = proxy.get_admin("/api/v1/exchanges").json();
        exchanges["exchanges"].as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(logs(&proxy, "created"), 0.0);
    assert!(!proxy.stderr().contains("/here"));
    proxy.finish();
}

#[test]
fn a_hangup_opens_the_file_at_once_though_nothing_is_written() {
    let upstream = Upstream::ok("hello");
    let config =
        Config::new(upstream.address()).access_log("access_log: {output: {file: access.log}}");
    let proxy = Proxy::start(config);
    let file = proxy.dir().join("access.log");
    let began = Instant::now();
    for number in 0..5 {
        let moved = proxy.dir().join(format!("access.log.{number}"));
        fs::rename(&file, &moved).expect("the file can be moved");
        proxy.signal("HUP");
        proxy.wait_until("the new file", || file.exists());
    }
    // Left to itself, whoever writes it looks up once a second.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?} for five");
    proxy.finish();
}
