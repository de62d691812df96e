//! Who reads the page: promtool, prometheus_client, and whoever follows an exemplar (`exemplars.rs` has the rest of those).

use std::process::{Command, Stdio};

use super::super::rig::partner::{check_metrics, partner};
use super::mixed::{FAMILIES, Mixed};

#[test]
fn promtool_and_prometheus_client_are_content_with_their_pages() {
    let mixed = Mixed::run();
    let proxy = &mixed.proxy;
    let text = proxy.get_admin("/metrics");
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(!text.text().contains(" # {"), "no exemplar in plain text");
    if let Some(said) = check_metrics(&text.text()) {
        assert_eq!(said, "", "promtool check metrics");
    }

    let accept = [(
        "accept",
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    )];
    let open = proxy.get_admin_with("/metrics", &accept);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    if let Some(families) = read_by_prometheus_client(&open.text()) {
        for (name, _) in FAMILIES {
            let base = name.trim_end_matches("_total");
            assert!(families.contains(base), "{base} is not among {families}");
        }
    }
    let exemplars = || -> Vec<_> {
        let metrics = proxy.open_metrics();
        let buckets = metrics.samples("http_server_request_duration_seconds_bucket", &[]);
        let exemplars = buckets.into_iter();
        exemplars
            .filter_map(|sample| sample.exemplar.clone())
            .collect()
    };
    proxy.wait_until("exemplars", || !exemplars().is_empty());
    for (labels, value) in exemplars() {
        let spans = mixed.collector.trace(&labels["trace_id"]);
        let is_there = spans.iter().any(|span| span.span_id == labels["span_id"]);
        assert!(
            value > 0.0 && is_there,
            "{labels:?} is not in the collector"
        );
    }
    mixed.finish();
}

/// The names of the families as prometheus_client's strict parser reads them; none where it is not installed.
fn read_by_prometheus_client(page: &str) -> Option<String> {
    let python = partner("python3")?;
    let is_there = Command::new(&python)
        .args(["-c", "import prometheus_client"])
        .stderr(Stdio::null())
        .status();
    if !is_there.is_ok_and(|status| status.success()) {
        let is_required =
            std::env::var_os("SIGHTGLASS_REQUIRE_PARTNERS").is_some_and(|it| it == "1");
        assert!(!is_required, "python3 has no prometheus_client");
        eprintln!("skipped: python3 has no prometheus_client");
        return None;
    }
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("page");
    std::fs::write(&file, page).expect("a temporary directory takes files");
    let script = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
print(*(family.name for family in read(open(sys.argv[1]).read())))";
    let output = Command::new(&python)
        .args(["-c", script])
        .arg(&file)
        .output()
        .expect("python can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "prometheus_client says: {said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
