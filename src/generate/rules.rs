//! `sightglass generate rules`: recording and alerting rules for Prometheus that fit a configuration.
//!
//! Alerts on objectives look at two windows and three speeds ("The Site Reliability Workbook", chapter 5, table 5-8): the
//! long window says that it matters, the short one that it still goes on. Burn rates are ratios of increases of
//! `sightglass_slo_events_total`, over all instances of a job: Prometheus knows what was before a restart. What is
//! allowed is written into the rules and not taken from the process, which may be down.
//!
//! All else is about the process itself, and only what this configuration has: no certificate alert without TLS.

use super::runbook::{self, Place};
use super::yaml::Yaml;
use crate::config::{FAST_BURN, LogOutput, Plan};
use crate::telemetry::metrics::family::{self, Family};
use crate::telemetry::slo::{MIN_EVENTS, Objective, of_plan};

/// An alert on how fast a budget burns.
struct Speed {
    alert: &'static str,
    burn: f64,
    long: &'static str,
    short: &'static str,
    severity: &'static str,
}

/// The three speeds: 2 % of 30 days' budget in an hour, 5 % in six hours, 10 % in three days.
const SPEEDS: [Speed; 3] = [
    Speed {
        alert: "SightglassBudgetBurnsFast",
        burn: FAST_BURN,
        long: "1h",
        short: "5m",
        severity: "page",
    },
    Speed {
        alert: "SightglassBudgetBurns",
        burn: 6.0,
        long: "6h",
        short: "30m",
        severity: "page",
    },
    Speed {
        alert: "SightglassBudgetBurnsSlowly",
        burn: 1.0,
        long: "3d",
        short: "6h",
        severity: "ticket",
    },
];

/// The recorded burn rate of an objective over a window.
const BURN: &str = "route_slo:sightglass_slo_burn_rate:";
/// The recorded number of its events.
const EVENTS: &str = "route_slo:sightglass_slo_events:increase";
/// The recorded rest of its budget.
const BUDGET: &str = "route_slo:sightglass_slo_error_budget_remaining:ratio";

/// Windows that are looked at twice a minute, and those that move too slowly for that. What is recorded must not be older
/// than five minutes when an alert looks at it: Prometheus would not find it any more.
const QUICK: [&str; 4] = ["5m", "30m", "1h", "6h"];
const SLOW: [&str; 1] = ["3d"];

/// The rules as a file of Prometheus. `file` is the configuration, as it is named in the first line.
#[must_use]
pub fn rules(plan: &Plan, file: &str) -> String {
    let objectives = of_plan(plan);
    let place = Place::of(plan);
    let mut groups = Vec::new();
    for objective in &objectives {
        groups.extend(of_objective(objective, &place));
    }
    groups.push(of_process(plan, &place));
    let yaml = Yaml::Map(vec![("groups", Yaml::List(groups))]);
    let mut text = format!(
        "# Made by `sightglass generate rules --config {file}`; make it anew when the configuration changes.\n"
    );
    if !objectives.is_empty() {
        text.push_str(
            "# What counts as good and bad: docs/observability.md. The rules of 3 days and of an error budget's window need as much retention.\n",
        );
    }
    text.push_str(&yaml.document());
    text
}

// === Objectives ===

fn of_objective(objective: &Objective, place: &Place) -> [Yaml; 2] {
    let Objective { route, slo, .. } = objective;
    let record = |name: String, expr: String| {
        let labels = [("route", route.as_str()), ("slo", slo)];
        Yaml::Map(vec![
            ("record", Yaml::Text(name)),
            ("expr", Yaml::Text(expr)),
            ("labels", texts(labels)),
        ])
    };
    let recorded = |windows: &[&str]| -> Vec<Yaml> {
        let mut rules = Vec::new();
        for window in windows {
            rules.push(record(format!("{BURN}{window}"), burn(objective, window)));
            rules.push(record(
                format!("{EVENTS}{window}"),
                events(objective, window, ""),
            ));
        }
        rules
    };
    let mut quick = recorded(&QUICK);
    let mut slow = recorded(&SLOW);
    let window = format!("{}s", objective.window.as_secs());
    slow.push(record(
        BUDGET.to_owned(),
        format!("1 - {}", burn(objective, &window).replace("\n", "\n  ")),
    ));
    for speed in &SPEEDS {
        // Where even nothing but failures burns more slowly, there is no such alert.
        if speed.burn * objective.allowed() < 1.0 {
            // Beside what it looks at, in the same turn.
            let rules = if SLOW.contains(&speed.long) {
                &mut slow
            } else {
                &mut quick
            };
            rules.push(alert_on_burn(objective, speed, place));
        }
    }
    [("", "30s", quick), ("-slow", "2m", slow)].map(|(suffix, interval, rules)| {
        Yaml::Map(vec![
            (
                "name",
                Yaml::Text(format!("sightglass-slo-{route}-{slo}{suffix}")),
            ),
            ("interval", Yaml::text(interval)),
            ("rules", Yaml::List(rules)),
        ])
    })
}

/// Events of an objective within a window, over all instances.
fn events(objective: &Objective, window: &str, result: &str) -> String {
    let Objective { route, slo, .. } = objective;
    let name = family::SLO_EVENTS.name;
    let result = match result {
        "" => String::new(),
        result => format!(",result=\"{result}\""),
    };
    format!("sum by (job) (increase({name}{{route=\"{route}\",slo=\"{slo}\"{result}}}[{window}]))")
}

/// How fast the budget burns over a window; nothing where there was no event.
fn burn(objective: &Objective, window: &str) -> String {
    let (bad, all) = (
        events(objective, window, "bad"),
        events(objective, window, ""),
    );
    format!("{bad}\n/ ({all} > 0)\n/ {}", allowed(objective))
}

/// What may be bad, without the last digits that a binary fraction adds: `0.001`.
fn allowed(objective: &Objective) -> String {
    let text = format!("{:.10}", objective.allowed());
    text.trim_end_matches('0').to_owned()
}

fn alert_on_burn(objective: &Objective, speed: &Speed, place: &Place) -> Yaml {
    let Objective { route, slo, .. } = objective;
    let Speed {
        alert,
        burn,
        long,
        short,
        severity,
    } = speed;
    let of = format!("{{route=\"{route}\",slo=\"{slo}\"}}");
    let expr = format!(
        "{BURN}{long}{of} > {burn}\nand {BURN}{short}{of} > {burn}\nand {EVENTS}{long}{of} >= {MIN_EVENTS}"
    );
    let promise = objective.sentence();
    let summary = format!(
        "route {route} spends the error budget of its {slo} {{{{ $value | humanize }}}} times as fast as it may"
    );
    let description = format!(
        "Promised is {promise}. Over {long} and still over {short}, the share of bad exchanges is more than {burn} times what is allowed."
    );
    let labels = [
        ("severity", *severity),
        ("route", route.as_str()),
        ("slo", slo),
        ("window", *long),
    ];
    alert_rule(
        alert,
        expr,
        None,
        &labels,
        [summary, description, runbook::of_burn(objective, place)],
    )
}

// === The process ===

fn of_process(plan: &Plan, place: &Place) -> Yaml {
    let mut rules = vec![
        gone(place),
        instance_gone(place),
        reload_failed(),
        dropped(plan),
    ];
    if plan.telemetry.traces.otlp.is_some() {
        rules.push(collector_takes_nothing());
        rules.push(queue_grows());
    }
    if plan.listeners.iter().any(|listener| listener.tls.is_some()) {
        rules.extend([certificate("ticket", 14), certificate("page", 2)]);
    }
    rules.push(endpoint_down());
    Yaml::Map(vec![
        ("name", Yaml::text("sightglass-process")),
        ("rules", Yaml::List(rules)),
    ])
}

fn gone(place: &Place) -> Yaml {
    let name = family::BUILD_INFO.name;
    alert_rule(
        "SightglassGone",
        format!("absent({name})"),
        Some("5m"),
        &[("severity", "page")],
        [
            "no sightglass is scraped".to_owned(),
            "Prometheus has had no answer from any sightglass for five minutes: it is down, or cannot be reached.".to_owned(),
            runbook::of_gone(place),
        ],
    )
}

/// One of several: it is scraped, was a sightglass, and does not answer. What was taken from the scrape's targets on purpose
/// has no `up`.
fn instance_gone(place: &Place) -> Yaml {
    let name = family::BUILD_INFO.name;
    alert_rule(
        "SightglassInstanceGone",
        format!("up == 0 and on (job, instance) count_over_time({name}[1d])"),
        Some("5m"),
        &[("severity", "ticket")],
        [
            "{{ $labels.instance }} does not answer".to_owned(),
            "Prometheus has had no answer from it for five minutes; others may carry its traffic."
                .to_owned(),
            runbook::of_gone(place),
        ],
    )
}

fn reload_failed() -> Yaml {
    let name = family::CONFIG_LAST_RELOAD_SUCCESS.name;
    alert_rule(
        "SightglassReloadFailed",
        format!("{name} == 0"),
        Some("1m"),
        &[("severity", "ticket")],
        [
            "{{ $labels.instance }} has refused its new configuration".to_owned(),
            "The old configuration stays in force; what the file says is not what runs.".to_owned(),
            runbook::of_reload(),
        ],
    )
}

fn dropped(plan: &Plan) -> Yaml {
    let items = increase(&family::TELEMETRY_ITEMS, "state=\"dropped\"", "10m");
    let mut told = String::from("Telemetry is lost, not traffic");
    if plan.telemetry.access_log.output != LogOutput::Off {
        told.push_str("; of logs it is lines of the access log");
    }
    alert_rule(
        "SightglassTelemetryDropped",
        format!("sum by (job, instance, signal, reason) ({items}) > 0"),
        Some("10m"),
        &[("severity", "ticket")],
        [
            "{{ $labels.instance }} drops {{ $labels.signal }}: {{ $labels.reason }}".to_owned(),
            format!("{told}: {{{{ $value | humanize }}}} in ten minutes."),
            runbook::of_telemetry(),
        ],
    )
}

fn collector_takes_nothing() -> Yaml {
    let of = |state: &str| {
        let items = increase(
            &family::TELEMETRY_ITEMS,
            &format!("signal=\"spans\",state=\"{state}\""),
            "10m",
        );
        format!("sum by (job, instance) ({items}) > 0")
    };
    alert_rule(
        "SightglassCollectorTakesNothing",
        format!("{}\nunless {}", of("created"), of("exported")),
        Some("5m"),
        &[("severity", "ticket")],
        [
            "the collector takes no spans of {{ $labels.instance }}".to_owned(),
            "Spans are made and none was acknowledged for ten minutes: traces are missing, exemplars are not shown.".to_owned(),
            runbook::of_telemetry(),
        ],
    )
}

fn queue_grows() -> Yaml {
    let name = family::TELEMETRY_QUEUED.name;
    alert_rule(
        "SightglassExportQueueFills",
        format!("{name}{{signal=\"spans\"}} > 12000"),
        Some("5m"),
        &[("severity", "ticket")],
        [
            "{{ $value | humanize }} spans wait on {{ $labels.instance }}".to_owned(),
            "The queue takes 16,384 unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise; then spans are dropped. The collector is too slow, or asleep.".to_owned(),
            runbook::of_telemetry(),
        ],
    )
}

fn certificate(severity: &'static str, days: u32) -> Yaml {
    let name = family::CERTIFICATE_EXPIRY.name;
    alert_rule(
        "SightglassCertificateEnds",
        format!("({name} - time()) / 86400 < {days}"),
        Some("15m"),
        &[("severity", severity)],
        [
            "certificate {{ $labels.certificate }} of listener {{ $labels.listener }} ends in {{ $value | humanize }} days".to_owned(),
            format!("Clients will refuse it then; less than {days} days are left."),
            runbook::of_certificate(),
        ],
    )
}

fn endpoint_down() -> Yaml {
    let name = family::ENDPOINT_HEALTHY.name;
    alert_rule(
        "SightglassEndpointDown",
        format!("min by (job, upstream, endpoint) ({name}) == 0"),
        Some("5m"),
        &[("severity", "ticket")],
        [
            "endpoint {{ $labels.endpoint }} of upstream {{ $labels.upstream }} takes no requests".to_owned(),
            "Its health forbids it, on one instance at least; the others of the upstream carry its share.".to_owned(),
            runbook::of_endpoint(),
        ],
    )
}

fn increase(family: &Family, matching: &str, window: &str) -> String {
    format!("increase({}{{{matching}}}[{window}])", family.name)
}

fn alert_rule(
    name: &str,
    expr: String,
    lasting: Option<&str>,
    labels: &[(&'static str, &str)],
    [summary, description, runbook]: [String; 3],
) -> Yaml {
    let mut rule = vec![("alert", Yaml::text(name)), ("expr", Yaml::Text(expr))];
    if let Some(lasting) = lasting {
        rule.push(("for", Yaml::text(lasting)));
    }
    rule.push(("labels", texts(labels.iter().copied())));
    let annotations = [
        ("summary", summary),
        ("description", description),
        ("runbook", runbook),
    ];
    let annotations = annotations.map(|(key, text)| (key, Yaml::Text(text)));
    rule.push(("annotations", Yaml::Map(annotations.into())));
    Yaml::Map(rule)
}

fn texts<'a>(pairs: impl IntoIterator<Item = (&'static str, &'a str)>) -> Yaml {
    let pairs = pairs.into_iter().map(|(key, text)| (key, Yaml::text(text)));
    Yaml::Map(pairs.collect())
}
