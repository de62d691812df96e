//! Tests of `environment`.

use super::*;
use crate::config::{Otlp, Telemetry};

fn read(variables: &[(&str, &str)]) -> Environment {
    Environment::read(&|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn silent() -> config::Traces {
    Telemetry::default().traces
}

fn endpoint(variables: &[(&str, &str)]) -> Option<String> {
    let collector = read(variables).collector(&silent())?;
    Some(format!("{:?} {}", collector.protocol, collector.endpoint))
}

#[test]
fn says_nothing_when_nothing_is_set() {
    let environment = read(&[(ENDPOINT, ""), (SAMPLER, "")]);
    assert_eq!(environment.collector(&silent()), None);
    assert_eq!(environment.head(&silent()), HeadShare::new(Share::ALL));
    assert_eq!(environment.batch(), Batch::default());
    assert_eq!(environment.ignored(), []);
}

#[test]
fn finds_the_collector() {
    let base = (ENDPOINT, "http://c:1/");
    for (variables, want) in [
        (&[base][..], Some("Grpc http://c:1/")),
        (
            &[base, (PROTOCOL, "http/protobuf")],
            Some("Http http://c:1/v1/traces"),
        ),
        (
            &[
                base,
                (TRACES_ENDPOINT, "http://t:2/x"),
                (PROTOCOL, "http/protobuf"),
            ],
            Some("Http http://t:2/x"),
        ),
        (
            &[base, (TRACES_PROTOCOL, "grpc"), (PROTOCOL, "http/protobuf")],
            Some("Grpc http://c:1/"),
        ),
        (&[(ENDPOINT, "c:4317")], Some("Grpc http://c:4317")),
        (&[(EXPORTER, "otlp")], Some("Grpc http://localhost:4317")),
        (
            &[(EXPORTER, "otlp"), (PROTOCOL, "http/protobuf")],
            Some("Http http://localhost:4318/v1/traces"),
        ),
        (&[base, (EXPORTER, "none")], None),
        (&[base, (DISABLED, "TRUE")], None),
        (&[base, (DISABLED, "false")], Some("Grpc http://c:1/")),
        (&[(ENDPOINT, "https://c:1")], None),
        (&[(ENDPOINT, "http://")], None),
    ] {
        assert_eq!(endpoint(variables).as_deref(), want, "{variables:?}");
    }
}

#[test]
fn the_file_has_the_first_word() {
    let mut traces = silent();
    traces.sample = Some(Share(0.25));
    traces.otlp = Some(Otlp {
        endpoint: "http://file:4318".to_owned(),
        protocol: OtlpProtocol::Http,
    });
    let environment = read(&[
        (ENDPOINT, "http://c:1"),
        (DISABLED, "true"),
        (SAMPLER, "always_off"),
        (TIMEOUT, "1500"),
    ]);
    let collector = environment.collector(&traces).expect("the file names one");
    assert_eq!(collector.endpoint, "http://file:4318/v1/traces");
    assert_eq!(collector.timeout, Duration::from_millis(1500));
    assert_eq!(environment.head(&traces), HeadShare::new(Share(0.25)));
}

#[test]
fn knows_the_standard_samplers() {
    let ratio = (SAMPLER_ARG, "0.25");
    let quarter = HeadShare::new(Share(0.25));
    let all = HeadShare::new(Share::ALL);
    let none = HeadShare::new(Share::NONE);
    for (sampler, want) in [
        ("always_on", all.regardless_of_parents()),
        ("always_off", none.regardless_of_parents()),
        ("traceidratio", quarter.regardless_of_parents()),
        ("parentbased_always_on", all),
        ("parentbased_always_off", none),
        ("parentbased_traceidratio", quarter),
    ] {
        let environment = read(&[(SAMPLER, sampler), ratio]);
        assert_eq!(environment.head(&silent()), want, "{sampler}");
    }
}

#[test]
fn sets_aside_what_it_cannot_take() {
    for variable in [
        (ENDPOINT, "https://c:1"),
        (PROTOCOL, "http/json"),
        (TIMEOUT, "soon"),
        (SAMPLER, "jaeger_remote"),
        (RESOURCE, "a=1,b"),
        (MAX_QUEUE, "0"),
        (DELAY, "-1"),
        (EXPORTER, "zipkin"),
    ] {
        let environment = read(&[variable]);
        let ignored: Vec<_> = environment.ignored().iter().map(|i| i.variable).collect();
        assert_eq!(ignored, [variable.0]);
    }
    let ratio = read(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "2")]);
    assert_eq!(ratio.ignored().len(), 1);
}

#[test]
fn the_batch_is_never_larger_than_the_queue() {
    let batch = read(&[(MAX_QUEUE, "100"), (MAX_BATCH, "512"), (DELAY, "250")]).batch();
    assert_eq!((batch.max_queue, batch.max_batch), (100, 100));
    assert_eq!(batch.delay, Duration::from_millis(250));
}

#[test]
fn says_who_we_are() {
    let environment = read(&[
        (RESOURCE, "service.name=low, team = shop%20a ,,host.name=h2"),
        (SERVICE, "middle"),
        ("HOSTNAME", "h1"),
    ]);
    let mut telemetry = Telemetry::default();
    let get = |telemetry: &Telemetry, key: &'static str| {
        let value = environment.resource(telemetry).get(&key.into());
        value.map(|value| value.to_string())
    };
    assert_eq!(get(&telemetry, SERVICE_NAME).as_deref(), Some("middle"));
    telemetry.service_name = Some("file".to_owned());
    assert_eq!(get(&telemetry, SERVICE_NAME).as_deref(), Some("file"));
    assert_eq!(get(&telemetry, "team").as_deref(), Some("shop a"));
    assert_eq!(get(&telemetry, HOST_NAME).as_deref(), Some("h2"));
    assert_eq!(
        get(&telemetry, "telemetry.sdk.language").as_deref(),
        Some("rust")
    );
    assert_eq!(
        get(&telemetry, SERVICE_INSTANCE_ID).map(|id| id.len()),
        Some(36)
    );
    let fallback = read(&[]).resource(&Telemetry::default());
    assert_eq!(
        fallback.get(&SERVICE_NAME.into()).map(|v| v.to_string()),
        Some("sightglass".to_owned())
    );
}

#[test]
fn the_downward_apis_variables_say_where_in_a_cluster_we_run() {
    let get = |environment: &Environment, key: &'static str| {
        let resource = environment.resource(&Telemetry::default());
        resource.get(&key.into()).map(|value| value.to_string())
    };
    let some = |text: &str| Some(text.to_owned());
    let outside = read(&[("K8S_POD_NAME", "edge-1"), ("NODE_NAME", "a-build-machine")]);
    assert_eq!(get(&outside, "k8s.pod.name"), some("edge-1"));
    assert_eq!(
        get(&outside, "k8s.node.name"),
        None,
        "it may mean another node"
    );
    let inside = read(&[
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("POD_NAME", "edge-2"),
        ("POD_NAMESPACE", "shop"),
        ("NODE_NAME", "node-7"),
        ("POD_UID", ""),
        ("K8S_CONTAINER_NAME", "proxy"),
        ("CONTAINER_NAME", "other"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "k8s.pod.name=mine,os.type=plan9,process.pid=1",
        ),
    ]);
    assert_eq!(
        get(&inside, "k8s.pod.name"),
        some("mine"),
        "the list has the last word"
    );
    assert_eq!(get(&inside, "k8s.namespace.name"), some("shop"));
    assert_eq!(get(&inside, "k8s.node.name"), some("node-7"));
    assert_eq!(get(&inside, "k8s.container.name"), some("proxy"));
    assert_eq!(get(&inside, "k8s.pod.uid"), None);
    assert_eq!(get(&inside, "os.type"), some("plan9"));
    #[cfg(target_os = "linux")]
    assert_eq!(get(&outside, "os.type"), some("linux"));
    assert_eq!(
        get(&outside, "process.pid"),
        some(&std::process::id().to_string())
    );
    assert!(
        get(&outside, "process.executable.name").is_some_and(|name| name.starts_with("sightglass"))
    );
    for key in ["service.name", "service.version", "service.instance.id"] {
        assert!(get(&outside, key).is_some(), "{key}");
    }
}
