//! `sightglass schema`: what editors are told of the configuration, against configurations.

use std::process::Command;

use serde_json::{Value, json};

use super::command_line::{root, stdout};
use super::rig::Proxy;
use super::rig::partner::{output, python_with};

/// Says of each of these configurations whether it fits the schema: nothing, or what is wrong.
const JUDGE: &str = "
import json, sys
import jsonschema
schema, written = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
judge = jsonschema.validators.validator_for(schema)
judge.check_schema(schema)
print(json.dumps([[error.json_path for error in judge(schema).iter_errors(one)] for one in written]))
";

fn schema() -> Value {
    let printed = Proxy::output(&["schema"]);
    assert!(printed.status.success());
    serde_json::from_str(&stdout(&printed)).expect("JSON")
}

/// What is wrong with each of these, by the judgement of a library that knows nothing of us.
fn judged(written: &[Value]) -> Option<Vec<Vec<String>>> {
    let python = python_with("jsonschema")?;
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let [schema_file, written_file] =
        ["schema.json", "written.json"].map(|it| folder.path().join(it));
    std::fs::write(&schema_file, schema().to_string()).expect("it can be written");
    std::fs::write(&written_file, json!(written).to_string()).expect("it can be written");
    let mut judge = Command::new(python);
    judge.args(["-c", JUDGE]).arg(schema_file).arg(written_file);
    Some(serde_json::from_str(&output(&mut judge)).expect("JSON"))
}

/// As YAML 1.2 has it, where `off` is a word.
fn yaml(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).expect("YAML")
}

/// The smallest file, with this in place of a part of it.
fn but(path: &str, value: Value) -> Value {
    let mut written = yaml(
        "{listeners: [{name: a, address: '127.0.0.1:0'}], routes: [{name: b, match: {path: {prefix: /}}, upstream: c}], \
         upstreams: [{name: c, endpoints: [{address: '127.0.0.1:1'}]}]}",
    );
    if let Some(there) = written.pointer_mut(path) {
        *there = value;
        return written;
    }
    let (parent, key) = path.rsplit_once('/').expect("a pointer");
    written.pointer_mut(parent).expect("the pointer's parent")[key] = value;
    written
}

#[test]
fn every_configuration_that_we_ship_fits() {
    let files = [
        "config/full.yaml",
        "config/quickstart.yaml",
        "deploy/sightglass.yaml",
    ];
    let read = |file: &&str| std::fs::read_to_string(root(file)).expect("it is there");
    let written: Vec<_> = files.iter().map(|file| yaml(&read(file))).collect();
    let Some(judged) = judged(&written) else {
        return;
    };
    for (file, wrong) in files.iter().zip(judged) {
        assert_eq!(wrong, Vec::<String>::new(), "{file}");
    }
}

#[test]
fn what_check_refuses_by_its_form_does_not_fit() {
    let cases = [
        ("/listener", json!([])),
        ("/routes/0/upstraem", json!("c")),
        ("/routes/0/timeout", json!({"total": "5 parsecs"})),
        ("/routes/0/timeout", json!({"total": 5})),
        ("/routes/0/max_body", json!("10MB")),
        ("/routes/0/rate_limit", json!({"rate": "100", "key": "all"})),
        ("/routes/0/retry", json!({"when": ["sometimes"]})),
        (
            "/routes/0/match",
            json!({"path": {"prefix": "/", "exact": "/"}}),
        ),
        ("/upstreams/0/balance", json!("fair")),
        ("/upstreams/0/endpoints/0/weight", json!("two")),
        ("/upstreams/0", json!({"name": "c"})),
        ("/telemetry", json!({"traces": {"sample": "a fifth"}})),
        ("/telemetry", json!({"access_log": {"output": "syslog"}})),
    ];
    let fits = [
        ("/routes/0/timeout", json!({"total": "1.5s"})),
        ("/routes/0/max_body", json!("10MiB")),
        (
            "/routes/0/rate_limit",
            json!({"rate": "100/s", "key": "header:x-tenant"}),
        ),
        (
            "/routes/0/retry",
            json!({"when": ["reset", 503], "backoff": "25ms..250ms"}),
        ),
        (
            "/telemetry",
            json!({"access_log": {"output": {"file": "a.log"}}}),
        ),
        (
            "/telemetry",
            json!({"traces": {"keep": {"slower_than": "p99"}, "force": {"token": {"env": "T"}}}}),
        ),
    ];
    let all = cases.iter().chain(&fits);
    let written: Vec<_> = all.map(|(path, value)| but(path, value.clone())).collect();
    let Some(judged) = judged(&written) else {
        return;
    };
    let (wrong, right) = judged.split_at(cases.len());
    for ((path, value), wrong) in cases.iter().zip(wrong) {
        assert!(!wrong.is_empty(), "{path}: {value} fits");
    }
    for ((path, value), wrong) in fits.iter().zip(right) {
        assert!(
            wrong.is_empty(),
            "{path}: {value} does not fit at {wrong:?}"
        );
    }
    // And check agrees, in both directions.
    for ((path, value), one) in cases.iter().chain(&fits).zip(&written) {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let file = folder.path().join("sightglass.yaml");
        std::fs::write(&file, one.to_string()).expect("it can be written");
        let mut check = Proxy::command(&["check", &file.display().to_string()]);
        let checked = check.env("T", "a token of some length").output();
        let is_fine = checked.expect("it runs").status.success();
        let is_case = cases.iter().any(|it| it.0 == *path && it.1 == *value);
        assert_ne!(is_fine, is_case, "{path}: {value}");
    }
}

/// Calls `look` for each key of each section, with its place and how it is explained.
fn keys(schema: &Value, place: &str, look: &mut impl FnMut(&str, Option<&str>)) {
    match schema {
        Value::Object(members) => {
            if let Some(properties) = members.get("properties").and_then(Value::as_object) {
                assert_eq!(
                    members["additionalProperties"], false,
                    "{place} takes any key"
                );
                // Of a choice of one key the choice itself is explained.
                let whole = members.get("description").filter(|_| properties.len() == 1);
                for (key, of) in properties {
                    let text = of.get("description").or(whole);
                    look(&format!("{place}.{key}"), text.and_then(Value::as_str));
                }
            }
            for (name, inner) in members {
                keys(inner, &format!("{place}/{name}"), look);
            }
        }
        Value::Array(all) => all.iter().for_each(|inner| keys(inner, place, look)),
        _ => {}
    }
}

#[test]
fn every_key_is_explained_and_no_section_takes_any_other() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let mut count = 0;
    keys(&schema, "", &mut |place, text| {
        count += 1;
        assert!(text.is_some_and(|it| it.len() > 4), "{place}: {text:?}");
    });
    assert!(count > 150, "{count}");
}
