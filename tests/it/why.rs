//! `/api/v1/why` and `sightglass why`: what sets failing exchanges apart, by the real binary.

use serde_json::{Value, json};

use super::command_line::{stderr, stdout};
use super::rig::{Client, Config, Proxy, Upstream, get, reply};

/// Ten endpoints of which the last answers with 500, and a log of `count` exchanges, each on a connection that is kept.
fn one_bad_of_ten(count: usize) -> (Proxy, Vec<Upstream>) {
    let mut upstreams: Vec<Upstream> = (0..9).map(|_| Upstream::ok("hello")).collect();
    upstreams.push(Upstream::answering(|_| reply(500, &[], "no")));
    let config = Config::new(upstreams[0].address()).upstream("balance: round_robin");
    let all = upstreams.iter().skip(1);
    let config = all.fold(config, |config, it| config.endpoint(it.address()));
    let proxy = Proxy::start(config);
    let mut client = Client::connect(proxy.public());
    for _ in 0..count {
        client.request("GET", "/", &[("host", "shop.test")], b"");
        client.read_response();
    }
    proxy.wait_until("all of them", || {
        proxy.get_admin("/api/v1/recorder").json()["seen"] == count
    });
    (proxy, upstreams)
}

fn why(proxy: &Proxy, more: &[&str]) -> std::process::Output {
    let admin = format!("http://{}", proxy.admin());
    Proxy::output(&[&["why", "--admin", &admin], more].concat())
}

#[test]
fn one_bad_endpoint_of_ten_is_named_by_the_port_and_in_the_terminal() {
    let (proxy, upstreams) = one_bad_of_ten(400);
    let guilty = upstreams[9].address().to_string();
    let answer = proxy.get_admin("/api/v1/why?filter=error").json();
    let first = &answer["differences"][0];
    assert_eq!(
        (&first["fact"], &first["value"]),
        (&json!("endpoint"), &json!(guilty))
    );
    assert_eq!(
        (&first["matched_share"], &first["rest_share"]),
        (&json!(1.0), &json!(0.0))
    );
    assert!(first["confidence"].as_f64() > Some(0.99), "{answer}");
    assert_eq!(
        answer["differences"][1],
        Value::Null,
        "the rest is explained: {answer}"
    );
    let symptoms: Vec<&Value> = answer["symptoms"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["value"])
        .collect();
    assert!(symptoms.contains(&&json!("500")), "{answer}");
    assert!(answer["window"]["from"].as_u64() < answer["window"]["until"].as_u64());

    for filter in [&[][..], &["status>=500"][..]] {
        let output = why(&proxy, filter);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let page = stdout(&output);
        let line = page
            .lines()
            .find(|line| line.contains("endpoint"))
            .expect("a line");
        assert!(line.contains(&guilty) && line.contains("100.0 %"), "{page}");
    }
    let output = why(&proxy, &["--json", "status>=500"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["differences"][0]["value"], json!(guilty));
    proxy.finish();
}

#[test]
fn where_nothing_sets_them_apart_that_is_said_and_a_bad_question_is_refused() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    for _ in 0..30 {
        get(proxy.public(), "/");
    }
    proxy.wait_until("all of them", || {
        proxy.get_admin("/api/v1/recorder").json()["seen"] == 30
    });
    let answer = proxy.get_admin("/api/v1/why?filter=error").json();
    assert_eq!(
        (&answer["matched"], &answer["rest"]),
        (&json!(0), &json!(30))
    );
    assert_eq!(answer["differences"], json!([]));
    assert_eq!(answer["note"], "nothing matches in these minutes");
    let output = why(&proxy, &["error"]);
    assert!(stdout(&output).contains("nothing matches in these minutes"));

    let refused = proxy.get_admin("/api/v1/why?filter=statu%3D%3D500");
    assert_eq!(
        (refused.status, &refused.json()["column"]),
        (400, &json!(1))
    );
    let output = why(&proxy, &["statu==500"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("statu"), "{}", stderr(&output));
    for query in ["minutes=0", "minutes=31", "minutes=x", "rout=a"] {
        assert_eq!(
            proxy.get_admin(&format!("/api/v1/why?{query}")).status,
            400,
            "{query}"
        );
    }
    proxy.finish();
}
