//! `sightglass generate`: what it prints is what Prometheus takes, and does what it says.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::command_line::{root, stderr, stdout};
use super::rig::Proxy;
use super::rig::partner::partner;

/// Everything that a rule can be about: two objectives with names that a careless writer would trip over, TLS, a collector.
const CONFIG: &str = r#"
listeners:
  - name: public
    address: 127.0.0.1:0
routes:
  - name: shop.v2-eu
    match: {path: {prefix: /shop}}
    upstream: web
    slo: {availability: 99.9%, latency: {within: 300ms, for: 99%}, window: 28d}
  - name: "true"
    match: {path: {prefix: /}}
    upstream: web
    slo: {availability: 92%}
upstreams:
  - {name: web, endpoints: [{address: 127.0.0.1:9001}]}
telemetry:
  traces: {otlp: {endpoint: "http://127.0.0.1:4317"}}
"#;

/// Prints what is generated of a file.
fn generate(what: &str, file: &Path) -> String {
    let file = file.display().to_string();
    let output = Proxy::output(&["generate", what, "--config", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

/// A folder with the configuration and its rules.
fn ruled(config: &str) -> (TempDir, String) {
    let dir = TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("proxy.yaml");
    std::fs::write(&file, config).expect("it takes files");
    let rules = generate("rules", &file);
    std::fs::write(dir.path().join("rules.yml"), &rules).expect("it takes files");
    (dir, rules)
}

/// What promtool says; none where it is not installed.
fn promtool(dir: &Path, words: &[&str]) -> Option<Output> {
    let mut command = Command::new(partner("promtool")?);
    let output = command.args(words).current_dir(dir).output();
    Some(output.expect("promtool runs"))
}

/// Whether this test of the rules holds; true where promtool is not installed.
fn holds(dir: &Path, test: &str) -> Result<(), String> {
    std::fs::write(dir.join("test.yml"), test).expect("it takes files");
    match promtool(dir, &["test", "rules", "test.yml"]) {
        Some(output) if !output.status.success() => Err(stdout(&output) + &stderr(&output)),
        _ => Ok(()),
    }
}

/// A test in which good and bad events of the shop's availability come at these series, a sample a minute, and at this
/// time exactly these alerts fire, each with its window. The group that records the quick windows comes first: at so long
/// an interval what it recorded a turn ago would be too old for the other.
fn burns(good: &str, bad: &str, at: &str, alerts: &[(&str, &str)]) -> String {
    let group = "sightglass-slo-shop.v2-eu-availability";
    let series = |result: &str, values: &str| {
        let labels = format!(
            "job=\"edge\",instance=\"a:1\",route=\"shop.v2-eu\",slo=\"availability\",result=\"{result}\""
        );
        format!(
            "      - {{series: 'sightglass_slo_events_total{{{labels}}}', values: '{values}'}}\n"
        )
    };
    let expected = alerts.iter().map(|(name, window)| {
        format!("          - {{labels: '{{alertname=\"{name}\",route=\"shop.v2-eu\",window=\"{window}\"}}', value: 1}}\n")
    });
    format!(
        "rule_files: [rules.yml]\nevaluation_interval: 30m\ngroup_eval_order: [{group}, {group}-slow]\ntests:\n  - interval: 1m\n    input_series:\n{}{}    \
         promql_expr_test:\n      - expr: 'sum by (alertname, route, window) (ALERTS{{alertname=~\"SightglassBudget.*\",alertstate=\"firing\"}})'\n        \
         eval_time: {at}\n        exp_samples:{}\n{}",
        series("good", good),
        series("bad", bad),
        if alerts.is_empty() { " []" } else { "" },
        expected.collect::<String>()
    )
}

const FAST: (&str, &str) = ("SightglassBudgetBurnsFast", "1h");
const MEDIUM: (&str, &str) = ("SightglassBudgetBurns", "6h");
const SLOW: (&str, &str) = ("SightglassBudgetBurnsSlowly", "3d");

#[test]
fn rules_are_what_prometheus_takes() {
    let (dir, rules) = ruled(CONFIG);
    if let Some(output) = promtool(dir.path(), &["check", "rules", "rules.yml"]) {
        assert!(
            output.status.success(),
            "{}",
            stdout(&output) + &stderr(&output)
        );
    }
    for there in [
        "slo: availability",
        "slo: latency",
        "route: shop.v2-eu",
        "route: \"true\"",
        "[2419200s]",
        "SightglassCollectorTakesNothing",
        "SightglassEndpointDown",
    ] {
        assert!(rules.contains(there), "{there} is not in\n{rules}");
    }
    assert!(!rules.contains("Certificate"), "there is no TLS:\n{rules}");
    let is_fast = |line: &str| line.contains("route=\"true\"") && line.contains("> 14.4");
    assert!(
        !rules.lines().any(is_fast),
        "of 92 % it cannot be had:\n{rules}"
    );

    let bare = CONFIG
        .replace("    slo:", "    # slo:")
        .replace("  traces:", "  # traces:");
    let (dir, rules) = ruled(&bare.replace("telemetry:", ""));
    if let Some(output) = promtool(dir.path(), &["check", "rules", "rules.yml"]) {
        assert!(
            output.status.success(),
            "{}",
            stdout(&output) + &stderr(&output)
        );
    }
    assert!(
        !rules.contains("sightglass_slo") && !rules.contains("Collector"),
        "{rules}"
    );
}

#[test]
fn a_burn_fires_at_its_own_speed_and_nothing_else_does() {
    let (dir, _) = ruled(CONFIG);
    let whole = |test: &str| holds(dir.path(), test);
    let all_is_well = burns("0+1000x5000", "0+0x5000", "79h", &[]);
    assert_eq!(whole(&all_is_well), Ok(()));
    // Two in a hundred for hours: 20 times what is allowed.
    let fast = burns("0+980x600", "0+20x600", "9h", &[FAST, MEDIUM, SLOW]);
    assert_eq!((whole(&fast)), Ok(()));
    // Eight in a thousand: 8 times.
    let medium = burns("0+992x600", "0+8x600", "9h", &[MEDIUM, SLOW]);
    assert_eq!((whole(&medium)), Ok(()));
    // Two in a thousand, for three days and more: twice.
    let slow = burns("0+998x5000", "0+2x5000", "79h", &[SLOW]);
    assert_eq!((whole(&slow)), Ok(()));
    // Just within the budget.
    let within = burns("0+9991x5000", "0+9x5000", "79h", &[]);
    assert_eq!(whole(&within), Ok(()));
    // It was bad until an hour ago: the short windows are good again.
    let over = burns(
        "0+500x120 60500+1000x120",
        "0+500x120 60000+0x120",
        "4h",
        &[SLOW],
    );
    assert_eq!((whole(&over)), Ok(()));
    // And the tests can fail.
    if partner("promtool").is_some() {
        assert!(whole(&burns("0+980x600", "0+20x600", "9h", &[])).is_err());
        assert!((whole(&burns("0+9991x5000", "0+9x5000", "79h", &[FAST]))).is_err());
    }
}

#[test]
fn a_few_events_raise_nothing_however_bad_they_are() {
    let (dir, _) = ruled(CONFIG);
    // Twelve failures and nothing else, within the last hours.
    let few = burns("0+0x600", "0+0x588 0+1x12", "10h", &[]);
    assert_eq!(holds(dir.path(), &few), Ok(()));
    let enough = burns("0+0x600", "0+0x560 0+1x40", "10h", &[FAST, MEDIUM, SLOW]);
    assert_eq!((holds(dir.path(), &enough)), Ok(()));
}

/// A test of one alert about the process: what Prometheus has scraped, a sample a minute, and when it fires, by instance.
fn fires(alert: &str, series: &[(&str, &str)], at: &str, firing: &[&str]) -> String {
    let input = series
        .iter()
        .map(|(series, values)| format!("      - {{series: '{series}', values: '{values}'}}\n"));
    let expected = firing.iter().map(|labels| {
        format!("          - {{labels: '{{alertname=\"{alert}\"{labels}}}', value: 1}}\n")
    });
    format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{}    \
         promql_expr_test:\n      - expr: 'sum by (alertname, instance, endpoint) (ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})'\n        \
         eval_time: {at}\n        exp_samples:{}\n{}",
        input.collect::<String>(),
        if firing.is_empty() { " []" } else { "" },
        expected.collect::<String>()
    )
}

/// What an alert is about, and beside it what is nearly that: series as `series` and samples, a sample a minute.
struct Case {
    alert: &'static str,
    bad: &'static [(&'static str, &'static str)],
    good: &'static [(&'static str, &'static str)],
    /// The labels with which it fires, after its name.
    labels: &'static str,
}

const UP: &str = "up{job=\"edge\",instance=\"a:1\"}";
const BUILD: &str = "sightglass_build_info{job=\"edge\",instance=\"a:1\"}";
const OTHER: &str = "sightglass_build_info{job=\"edge\",instance=\"b:1\"}";
const RELOAD: &str = "sightglass_config_last_reload_success{job=\"edge\",instance=\"a:1\"}";
const CREATED: &str = "sightglass_telemetry_items_total{job=\"edge\",instance=\"a:1\",signal=\"spans\",state=\"created\"}";
const EXPORTED: &str = "sightglass_telemetry_items_total{job=\"edge\",instance=\"a:1\",signal=\"spans\",state=\"exported\"}";
const DROPPED: &str = "sightglass_telemetry_items_total{job=\"edge\",instance=\"a:1\",signal=\"logs\",state=\"dropped\",reason=\"queue_full\"}";
const QUEUED: &str =
    "sightglass_telemetry_queued_items{job=\"edge\",instance=\"a:1\",signal=\"spans\"}";
const CERTIFICATE: &str = "sightglass_tls_certificate_expiry_seconds{job=\"edge\",instance=\"a:1\",listener=\"public\",certificate=\"shop.test\"}";
const ENDPOINT: &str = "sightglass_endpoint_healthy{job=\"edge\",instance=\"a:1\",upstream=\"web\",endpoint=\"10.0.0.7:1\"}";
const A: &str = ",instance=\"a:1\"";

const CASES: [Case; 8] = [
    Case {
        alert: "SightglassGone",
        bad: &[(BUILD, "1x2 _x60")],
        good: &[(OTHER, "1x90")],
        labels: "",
    },
    Case {
        alert: "SightglassInstanceGone",
        bad: &[(UP, "1x20 0x60"), (BUILD, "1x20 _x60"), (OTHER, "1x90")],
        good: &[(UP, "0x90"), (OTHER, "1x90")],
        labels: A,
    },
    Case {
        alert: "SightglassReloadFailed",
        bad: &[(RELOAD, "1x5 0x60")],
        good: &[(RELOAD, "0x5 1x60")],
        labels: A,
    },
    Case {
        alert: "SightglassTelemetryDropped",
        bad: &[(DROPPED, "0+5x90")],
        good: &[(DROPPED, "5x90")],
        labels: A,
    },
    Case {
        alert: "SightglassCollectorTakesNothing",
        bad: &[(CREATED, "0+9x90"), (EXPORTED, "7x90")],
        good: &[(CREATED, "0+9x90"), (EXPORTED, "0+1x90")],
        labels: A,
    },
    Case {
        alert: "SightglassExportQueueFills",
        bad: &[(QUEUED, "12001x90")],
        good: &[(QUEUED, "11999x90")],
        labels: A,
    },
    // Time begins at zero in these tests.
    Case {
        alert: "SightglassCertificateEnds",
        bad: &[(CERTIFICATE, "200000x90")],
        good: &[(CERTIFICATE, "9000000x90")],
        labels: A,
    },
    Case {
        alert: "SightglassEndpointDown",
        bad: &[(ENDPOINT, "1x5 0x60")],
        good: &[(ENDPOINT, "0x5 1x60")],
        labels: ",endpoint=\"10.0.0.7:1\"",
    },
];

#[test]
fn each_alert_about_the_process_fires_at_what_it_is_about() {
    let with_tls = CONFIG.replace(
        "    address: 127.0.0.1:0\n",
        "    address: 127.0.0.1:0\n    tls: {certificates: [{cert: a.pem, key: a.key}]}\n",
    );
    let (dir, _) = ruled(&with_tls);
    for Case {
        alert,
        bad,
        good,
        labels,
    } in CASES
    {
        let at = |series, firing: &[&str]| holds(dir.path(), &fires(alert, series, "45m", firing));
        assert_eq!(at(bad, &[labels]), Ok(()), "{alert}");
        assert_eq!(at(good, &[]), Ok(()), "{alert}, nearly");
        if partner("promtool").is_some() {
            assert!(at(bad, &[]).is_err(), "{alert}");
        }
    }
}

#[test]
fn the_rules_of_the_deployment_are_those_of_its_configuration() {
    let committed = std::fs::read_to_string(root("deploy/rules.yml")).expect("it is there");
    let made = generate("rules", &root("deploy/sightglass.yaml"));
    assert_eq!(
        committed, made,
        "make it anew: sightglass generate rules --config deploy/sightglass.yaml > deploy/rules.yml"
    );
}
