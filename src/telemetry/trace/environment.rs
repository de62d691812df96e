//! The standard `OTEL_*` variables, for what the file is silent about.
//!
//! They are read once, through a lookup that tests can replace, and judged here alone. A value that cannot be taken is
//! set aside with a reason: a variable that other software on the machine also reads must not keep a proxy from starting.
//! `OTEL_EXPORTER_OTLP_HEADERS` and `…_TRACES_HEADERS` are left to opentelemetry-otlp, so that what is often a
//! credential passes through no hands of ours.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_semantic_conventions::resource::{
    HOST_NAME, OS_TYPE, PROCESS_EXECUTABLE_NAME, PROCESS_PID, SERVICE_INSTANCE_ID, SERVICE_NAME,
    SERVICE_VERSION,
};

use super::HeadShare;
use crate::config::{self, OtlpProtocol, Propagation, Share, TraceFormat};
use crate::exchange::TraceId;
use crate::telemetry::otlp::{Batch, Collector};
use crate::telemetry::percent;

mod kubernetes;

/// What the `OTEL_*` variables say.
#[derive(Clone, Debug)]
pub struct Environment {
    collector: Option<Collector>,
    timeout: Duration,
    sampler: Option<HeadShare>,
    propagation: Option<Propagation>,
    service_name: Option<String>,
    resource: Vec<(String, String)>,
    host: Option<String>,
    kubernetes: Vec<(&'static str, String)>,
    batch: Batch,
    log_batch: Batch,
    ignored: Vec<Ignored>,
}

/// A variable whose value was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The variable.
    pub variable: &'static str,
    /// Why.
    pub why: &'static str,
}

/// How a variable is looked up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads variables and notes those that cannot be taken.
struct Reader<'a> {
    lookup: Lookup<'a>,
    ignored: Vec<Ignored>,
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const MAX_QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const MAX_BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";

const LOG_MAX_QUEUE: &str = "OTEL_BLRP_MAX_QUEUE_SIZE";
const LOG_MAX_BATCH: &str = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE";
const LOG_DELAY: &str = "OTEL_BLRP_SCHEDULE_DELAY";

/// The path of OTLP/HTTP for logs.
const LOG_PATH: &str = "/v1/logs";
/// The path of OTLP/HTTP for traces.
const HTTP_PATH: &str = "/v1/traces";
/// How long one batch may take unless a variable says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

// === impl Environment ===

impl Environment {
    /// What the process's own variables say.
    #[must_use]
    pub fn of_process() -> Self {
        let mut environment = Self::read(&|name| std::env::var(name).ok());
        if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            environment.host = Some(host.trim().to_owned()).filter(|host| !host.is_empty());
        }
        environment
    }

    /// What these variables say. An empty one counts as absent, as the standard has it.
    #[must_use]
    pub fn read(lookup: Lookup<'_>) -> Self {
        let mut reader = Reader {
            lookup,
            ignored: Vec::new(),
        };
        let timeout = reader
            .number(TRACES_TIMEOUT)
            .or_else(|| reader.number(TIMEOUT))
            .map_or(DEFAULT_TIMEOUT, Duration::from_millis);
        Self {
            collector: reader.collector(timeout),
            timeout,
            sampler: reader.sampler(),
            propagation: reader.propagation(),
            service_name: reader.text(SERVICE),
            resource: reader.resource(),
            host: reader.text("HOSTNAME"),
            kubernetes: kubernetes::attributes(lookup),
            batch: reader.batch([MAX_QUEUE, MAX_BATCH, DELAY]),
            log_batch: reader.batch([LOG_MAX_QUEUE, LOG_MAX_BATCH, LOG_DELAY]),
            ignored: reader.ignored,
        }
    }

    /// Where spans go: where the file says, else where the variables say; `None` sends none.
    #[must_use]
    pub fn collector(&self, traces: &config::Traces) -> Option<Collector> {
        let Some(otlp) = &traces.otlp else {
            return self.collector.clone();
        };
        let endpoint = match otlp.protocol {
            OtlpProtocol::Grpc => otlp.endpoint.clone(),
            OtlpProtocol::Http => with_path(&otlp.endpoint),
        };
        Some(Collector {
            endpoint,
            protocol: otlp.protocol,
            timeout: self.timeout,
        })
    }

    /// Where logs go; `None` sends none. No variable names a collector for them.
    #[must_use]
    pub fn log_collector(&self, logs: &config::Logs) -> Option<Collector> {
        let otlp = logs.otlp.as_ref()?;
        let endpoint = match otlp.protocol {
            OtlpProtocol::Grpc => otlp.endpoint.clone(),
            OtlpProtocol::Http => format!("{}{LOG_PATH}", otlp.endpoint),
        };
        Some(Collector {
            endpoint,
            protocol: otlp.protocol,
            timeout: self.timeout,
        })
    }

    /// Where metrics are pushed to. No variable names a collector for them: a proxy that began to push because of one that
    /// was meant for other software would surprise.
    #[must_use]
    pub fn metrics_collector(&self, otlp: &config::Otlp) -> Collector {
        let path = match otlp.protocol {
            OtlpProtocol::Grpc => "",
            OtlpProtocol::Http => "/v1/metrics",
        };
        Collector {
            endpoint: format!("{}{path}", otlp.endpoint),
            protocol: otlp.protocol,
            timeout: self.timeout,
        }
    }

    /// The head share: the file's, else the variables', else all.
    #[must_use]
    pub fn head(&self, traces: &config::Traces) -> HeadShare {
        match traces.sample {
            Some(share) => HeadShare::new(share),
            None => self.sampler.unwrap_or(HeadShare::new(Share::ALL)),
        }
    }

    /// Which context headers are read and written: those of the file, else the variables', else tracecontext and baggage.
    #[must_use]
    pub fn propagation(&self, traces: &config::Traces) -> Propagation {
        let asked = traces.propagation.or(self.propagation);
        asked.unwrap_or_default()
    }

    /// How spans are gathered.
    #[must_use]
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// How logs are gathered.
    #[must_use]
    pub fn log_batch(&self) -> Batch {
        self.log_batch
    }

    /// The variables that were set aside.
    #[must_use]
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Who we are, as every span of ours says it. `service.instance.id` is made up anew each time.
    #[must_use]
    pub fn resource(&self, telemetry: &config::Telemetry) -> Resource {
        let mut all = vec![
            KeyValue::new(SERVICE_NAME, "sightglass"),
            KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(SERVICE_INSTANCE_ID, instance_id()),
            KeyValue::new(OS_TYPE, os_type()),
            KeyValue::new(PROCESS_PID, i64::from(std::process::id())),
        ];
        let executable = std::env::current_exe().ok();
        let executable = executable.as_ref().and_then(|path| path.file_name());
        let executable = executable.and_then(|name| name.to_str()).into_iter();
        all.extend(executable.map(|name| KeyValue::new(PROCESS_EXECUTABLE_NAME, name.to_owned())));
        let host = self.host.iter();
        all.extend(host.map(|host| KeyValue::new(HOST_NAME, host.clone())));
        let kubernetes = self.kubernetes.iter();
        all.extend(kubernetes.map(|(key, value)| KeyValue::new(*key, value.clone())));
        let given = self.resource.iter();
        all.extend(given.map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
        let name = telemetry.service_name.as_ref();
        let name = name.or(self.service_name.as_ref()).into_iter();
        all.extend(name.map(|name| KeyValue::new(SERVICE_NAME, name.clone())));
        Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(all) // the last of a key stays
            .build()
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).filter(|value| !value.is_empty())
    }

    fn ignore<T>(&mut self, variable: &'static str, why: &'static str) -> Option<T> {
        self.ignored.push(Ignored { variable, why });
        None
    }

    fn number(&mut self, variable: &'static str) -> Option<u64> {
        let text = self.text(variable)?;
        match text.trim().parse() {
            Ok(number) if number > 0 => Some(number),
            _ => self.ignore(variable, "is no positive number"),
        }
    }

    fn collector(&mut self, timeout: Duration) -> Option<Collector> {
        let is_disabled = self
            .text(DISABLED)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let is_asked = match self.text(EXPORTER).as_deref().map(str::trim) {
            None => false,
            Some("otlp") => true,
            Some("none") => return None,
            Some(_) => {
                self.ignore::<()>(EXPORTER, "is neither otlp nor none");
                false
            }
        };
        if is_disabled {
            return None;
        }
        let protocol = self.protocol();
        let (variable, endpoint) = match (self.text(TRACES_ENDPOINT), self.text(ENDPOINT)) {
            (Some(url), _) => (TRACES_ENDPOINT, url),
            (None, Some(url)) if protocol == OtlpProtocol::Http => (ENDPOINT, with_path(&url)),
            (None, Some(url)) => (ENDPOINT, url),
            (None, None) if !is_asked => return None,
            (None, None) => match protocol {
                OtlpProtocol::Grpc => (ENDPOINT, "http://localhost:4317".to_owned()),
                OtlpProtocol::Http => (ENDPOINT, with_path("http://localhost:4318")),
            },
        };
        let endpoint = match endpoint.split_once("://") {
            None => format!("http://{endpoint}"),
            Some(("http", _)) => endpoint,
            Some(_) => return self.ignore(variable, "is no http:// URL (https is not supported)"),
        };
        let uri = endpoint.parse::<http::Uri>();
        if uri.is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty())) {
            Some(Collector {
                endpoint,
                protocol,
                timeout,
            })
        } else {
            self.ignore(variable, "is no URL")
        }
    }

    fn protocol(&mut self) -> OtlpProtocol {
        for variable in [TRACES_PROTOCOL, PROTOCOL] {
            match self.text(variable).as_deref().map(str::trim) {
                None => {}
                Some("grpc") => return OtlpProtocol::Grpc,
                Some("http/protobuf") => return OtlpProtocol::Http,
                Some(_) => {
                    self.ignore::<()>(variable, "is neither grpc nor http/protobuf");
                }
            }
        }
        OtlpProtocol::Grpc
    }

    fn sampler(&mut self) -> Option<HeadShare> {
        let sampler = self.text(SAMPLER)?;
        let (name, follows_parents) = match sampler.trim().strip_prefix("parentbased_") {
            Some(name) => (name, true),
            None => (sampler.trim(), false),
        };
        let share = match name {
            "always_on" => HeadShare::new(Share::ALL),
            "always_off" => HeadShare::new(Share::NONE),
            "traceidratio" => HeadShare::new(self.ratio()),
            _ => return self.ignore(SAMPLER, "is no known sampler"),
        };
        Some(if follows_parents {
            share
        } else {
            share.regardless_of_parents()
        })
    }

    /// A list of names; one that is not known is left out, the others count.
    fn propagation(&mut self) -> Option<Propagation> {
        let list = self.text(PROPAGATORS)?;
        let (mut formats, mut baggage) = (Vec::new(), false);
        for name in list.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            match name {
                "tracecontext" => formats.push(TraceFormat::TraceContext),
                "b3" => formats.push(TraceFormat::B3),
                "b3multi" => formats.push(TraceFormat::B3Multi),
                "jaeger" => formats.push(TraceFormat::Jaeger),
                "baggage" => baggage = true,
                "none" => return Some(Propagation::new(&[], false)),
                _ => {
                    let why = "names others than tracecontext, baggage, b3, b3multi, jaeger, none";
                    self.ignore::<()>(PROPAGATORS, why);
                }
            }
        }
        Some(Propagation::new(&formats, baggage))
    }

    fn ratio(&mut self) -> Share {
        let ratio = self.text(SAMPLER_ARG).map(|text| text.trim().parse());
        match ratio {
            None => Share::ALL,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => Share(ratio),
            Some(_) => {
                self.ignore::<()>(SAMPLER_ARG, "is no number from 0 to 1");
                Share::ALL
            }
        }
    }

    /// `key=value,…` with percent-encoded values; one that is malformed makes all of them void, as the standard has it.
    fn resource(&mut self) -> Vec<(String, String)> {
        let Some(text) = self.text(RESOURCE) else {
            return Vec::new();
        };
        let pair = |member: &str| {
            let (key, value) = member.split_once('=')?;
            let value = percent::decoded(value.trim().as_bytes()).collect();
            let key = key.trim();
            (!key.is_empty()).then_some((key.to_owned(), String::from_utf8(value).ok()?))
        };
        let members = text.split(',').filter(|member| !member.trim().is_empty());
        let pairs: Option<Vec<_>> = members.map(pair).collect();
        match pairs {
            Some(pairs) => pairs,
            None => {
                self.ignore::<()>(RESOURCE, "is no list of key=value");
                Vec::new()
            }
        }
    }

    fn batch(&mut self, [max_queue, max_batch, delay]: [&'static str; 3]) -> Batch {
        let standard = Batch::default();
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let max_queue = self.number(max_queue).map_or(standard.max_queue, size);
        let max_batch = self.number(max_batch).map_or(standard.max_batch, size);
        let delay = self.number(delay);
        Batch {
            max_queue,
            max_batch: max_batch.min(max_queue),
            delay: delay.map_or(standard.delay, Duration::from_millis),
        }
    }
}

/// A base URL with the path of OTLP/HTTP, unless it has it already.
fn with_path(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with(HTTP_PATH) {
        return base.to_owned();
    }
    format!("{base}{HTTP_PATH}")
}

/// The system, in the words of `os.type`.
fn os_type() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "solaris" | "illumos" => "solaris",
        "dragonfly" => "dragonflybsd",
        other => other,
    }
}

/// A random UUID, RFC 9562 §5.4.
fn instance_id() -> String {
    let mut id = TraceId::random();
    id.0[6] = id.0[6] & 0x0f | 0x40;
    id.0[8] = id.0[8] & 0x3f | 0x80;
    let hex = id.to_string();
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests;
