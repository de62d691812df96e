//! Software that we did not write, over TLS: curl.

use std::process::Command;

use super::super::rig::partner::partner;
use super::super::rig::{Authority, Upstream};
use super::start;

#[test]
fn curl_speaks_both_protocols_and_both_versions_over_tls() {
    let Some(curl) = partner("curl") else { return };
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    let ca = authority.ca().display().to_string();
    let port = proxy.public().port();
    let resolve = format!("shop.test:{port}:127.0.0.1");
    let url = format!("https://shop.test:{port}/");
    for (arguments, said) in [
        (&["--http1.1", "--tlsv1.3"][..], "hello 1.1"),
        (&["--http2", "--tlsv1.3"], "hello 2"),
        (&["--http1.1", "--tls-max", "1.2"], "hello 1.1"),
        (&["--http2", "--tls-max", "1.2"], "hello 2"),
    ] {
        let output = Command::new(&curl)
            .args(["-sS", "-m", "10", "--cacert", &ca, "--resolve", &resolve])
            .args(["-w", " %{http_version}"])
            .args(arguments)
            .arg(&url)
            .output()
            .expect("curl runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stdout, said, "{arguments:?}: {stderr}");
    }
    let lines = proxy.wait_log_lines(4);
    let versions: Vec<_> = lines.iter().map(|line| line["tls"].clone()).collect();
    assert_eq!(versions, ["1.3", "1.3", "1.2", "1.2"]);
    proxy.finish();
}
