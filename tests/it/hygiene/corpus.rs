//! The corpus of `tests/it/corpus/`: one request in is at most one request out, in one form, whoever reads it.
//!
//! Every case goes through the proxy to the rig's upstream, which keeps each byte, and to nginx, Python and Node, which tell
//! what they understood. After every case a canary follows, on the same connection where it is still open and on a fresh one:
//! an answer that is not its own is a desync.

mod case;
mod frames;
mod partners;
mod strict;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use super::super::rig::{
    Client, Config, Proxy, Request, Script, Upstream, reply, request_bytes, wait_until,
};
use case::{Answer, Case, Forwarded, Frame, Said, Sent};
use frames::Frames;
use partners::{Fact, Witness};

/// What the upstream is to answer next, where a case says it.
type Slot = Arc<Mutex<Option<Vec<u8>>>>;

/// The rig's upstream: answers with what was asked, or with the case's own bytes.
fn recorder(slot: &Slot) -> Upstream {
    let slot = Arc::clone(slot);
    Upstream::script(
        Script::new()
            .read_head()
            .read_body()
            .answer(move |request| {
                let own = slot.lock().expect("no case panics with it").take();
                match own {
                    Some(bytes) => bytes,
                    None => {
                        let body = format!("{} {}", request.method, request.target);
                        let mut bytes = reply(200, &[], &body);
                        if request.method == "HEAD" {
                            bytes.truncate(bytes.len() - body.len());
                        }
                        bytes
                    }
                }
            }),
    )
}

/// A proxy with one worker, so that every request finds the upstream connection of the one before.
fn proxy(upstream: SocketAddr) -> Proxy {
    let small = "- {name: small, match: {path: {exact: /small}}, upstream: web, max_body: 1KiB}";
    Proxy::start(Config::new(upstream).workers(1).more_routes(small))
}

/// Runs a case against a proxy: the answers, then the canaries. `is_ours` is whether the upstream is, so that what is
/// forwarded is answered as the case says.
fn converse(case: &Case, number: usize, proxy: SocketAddr, is_ours: bool) {
    let check = |expected: &Answer, said: Said, body: &[u8]| {
        if expected.forwarded.is_none() || is_ours {
            assert_eq!(said, expected.said, "the answer");
        }
        match &expected.forwarded {
            Some(forwarded) if said == Said::Status(200) && case.upstream.is_none() => {
                let own = match forwarded.method.as_str() {
                    "HEAD" => String::new(),
                    method => format!("{method} {}", forwarded.target),
                };
                assert_eq!(String::from_utf8_lossy(body), own, "the answer is its own");
            }
            _ => {}
        }
        if let Some(own) = &expected.body {
            assert_eq!(body, own, "the answer's body");
        }
    };
    let same = format!("/canary/{number}/same");
    match &case.sent {
        Sent::Bytes(bytes) => {
            let mut client = Client::connect(proxy);
            // A proxy that has closed does not take the rest.
            let _ = client.try_send(bytes);
            for answer in &case.answers {
                let method = match &answer.forwarded {
                    Some(forwarded) => forwarded.method.clone(),
                    None => case.method(),
                };
                let response = client.try_read_response(&method).expect("an answer");
                check(answer, Said::Status(response.status), &response.body);
            }
            if case.is_kept {
                client.send(request_bytes("GET", &same, &[], ""));
                assert_eq!(client.read_response().text(), format!("GET {same}"));
            } else {
                client.expect_close();
            }
        }
        Sent::Frames(sent) => {
            let mut client = Frames::connect(proxy);
            client.send(1, sent);
            for answer in &case.answers {
                let (said, body) = client.read_answer(1);
                check(answer, said, &body);
            }
            if case.is_kept {
                client.send(3, &[canary(&same)]);
                let (said, body) = client.read_answer(3);
                assert_eq!(said, Said::Status(200));
                assert_eq!(String::from_utf8_lossy(&body), format!("GET {same}"));
            }
        }
    }
    let fresh = format!("/canary/{number}/fresh");
    let mut client = Client::connect(proxy);
    client.send(request_bytes("GET", &fresh, &[], ""));
    assert_eq!(client.read_response().text(), format!("GET {fresh}"));
}

fn canary(path: &str) -> Frame {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.test"),
    ];
    let bytes = |(name, value): (&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    Frame::Headers {
        fields: fields.map(bytes).to_vec(),
        is_end: true,
    }
}

/// Runs every case and tells of all that failed, not of the first alone.
fn each(cases: &[Case], run: impl Fn(usize, &Case)) {
    let mut failed = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let name = format!("{}: {}", case.family, case.name);
        if catch_unwind(AssertUnwindSafe(|| run(number, case))).is_err() {
            eprintln!("the panic above was in {name}\n");
            failed.push(name);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} cases failed:\n{}",
        failed.len(),
        cases.len(),
        failed.join("\n")
    );
}

/// The requests that the case brought to the upstream are the ones that it says, and no more.
fn check_forwarded(case: &Case, seen: &[Request]) {
    let mut seen = seen.iter();
    for expected in case
        .answers
        .iter()
        .filter_map(|answer| answer.forwarded.as_ref())
    {
        if expected.is_cut {
            // How much of it went out before the break is chance.
            if let Some(request) = seen.next() {
                assert_eq!(
                    (&request.method, &request.target),
                    (&expected.method, &expected.target)
                );
                assert!(!request.is_complete, "{request:#?} is whole");
            }
            continue;
        }
        if expected.is_chance && seen.len() == 0 {
            continue;
        }
        let request = seen
            .next()
            .unwrap_or_else(|| panic!("{} {} did not come", expected.method, expected.target));
        check_request(expected, request);
    }
    let more: Vec<_> = seen.collect();
    assert!(more.is_empty(), "more came out than went in: {more:#?}");
}

fn check_request(expected: &Forwarded, request: &Request) {
    assert_eq!(
        (&request.method, &request.target),
        (&expected.method, &expected.target)
    );
    assert!(request.is_complete, "{request:#?} has no end");
    for (name, value) in &expected.fields {
        let lines = request.headers.all(name);
        let joined = (!lines.is_empty()).then(|| lines.join(" | "));
        assert_eq!(joined.as_ref(), value.as_ref(), "{name}");
    }
    if let Some(body) = &expected.body {
        assert_eq!(
            String::from_utf8_lossy(&request.body),
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn the_corpus_goes_out_canonical_and_one_for_one() {
    let cases = case::all();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let slot = Slot::default();
    let upstream = recorder(&slot);
    let proxy = proxy(upstream.address());
    let is_canary = |request: &Request| request.target.starts_with("/canary/");
    each(&cases, |number, case| {
        let before = upstream.request_count();
        slot.lock()
            .expect("no case panics with it")
            .clone_from(&case.upstream);
        converse(case, number, proxy.public(), true);
        *slot.lock().expect("no case panics with it") = None;
        // The fresh canary has been answered, so what the case brought is there, and what breaks off is at its end.
        wait_until("broken connections are closed", || {
            upstream.live_connections() <= 1
        });
        let seen: Vec<_> = upstream.all_requests().split_off(before);
        let seen: Vec<_> = seen
            .into_iter()
            .filter(|request| !is_canary(request))
            .collect();
        check_forwarded(case, &seen);
    });

    // Every byte on every connection is in the one form, and what it says is what was read and checked above.
    let read = upstream.all_requests();
    for connection in 0..upstream.connection_count() {
        let written = strict::requests(&upstream.received(connection))
            .unwrap_or_else(|what| panic!("connection {connection}: {what}"));
        let read = read.iter().filter(|it| it.connection == connection);
        let read: Vec<_> = read
            .map(|it| (&it.method, &it.target, it.is_complete))
            .collect();
        let written: Vec<_> = written
            .iter()
            .map(|it| (&it.method, &it.target, !it.is_cut))
            .collect();
        assert_eq!(written, read, "connection {connection}");
    }
    proxy.finish();
}

/// The facts of the case as the rig's upstream saw them, and what it may have missed by chance: all that another one may see.
fn facts_of(case: &Case, seen: &[Request], address: SocketAddr) -> Vec<Fact> {
    let is_canary = |request: &&Request| request.target.starts_with("/canary/");
    let mut facts: Vec<_> = seen
        .iter()
        .filter(|request| !is_canary(request))
        .map(|request| Fact {
            method: request.method.clone(),
            target: request.target.clone(),
            host: named(request.headers.get("host").unwrap_or_default(), address),
            length: request.is_complete.then_some(request.body.len()),
        })
        .collect();
    let forwarded = case.answers.iter().filter_map(|it| it.forwarded.as_ref());
    for chance in forwarded.filter(|it| it.is_cut || it.is_chance) {
        let is_seen = |it: &Fact| (&it.method, &it.target) == (&chance.method, &chance.target);
        if !facts.iter().any(is_seen) {
            facts.push(Fact {
                method: chance.method.clone(),
                target: chance.target.clone(),
                host: "a.test".to_owned(),
                length: chance.is_chance.then_some(0),
            });
        }
    }
    facts
}

/// Takes the first fact that this is, out of those that are allowed.
fn take(allowed: &mut Vec<Fact>, seen: &Fact) -> bool {
    let is_same = |fact: &Fact| match seen.length {
        Some(_) => fact == seen,
        // It refused the request, of which nginx then tells nothing, or saw the break.
        None => {
            seen.method.is_empty() || (&fact.method, &fact.target) == (&seen.method, &seen.target)
        }
    };
    let found = allowed.iter().position(is_same);
    found.map(|at| allowed.remove(at)).is_some()
}

/// A host, where it is not the upstream's own address.
fn named(host: &str, upstream: SocketAddr) -> String {
    if host == upstream.to_string() {
        "itself"
    } else {
        host
    }
    .to_owned()
}

/// Each case beside the rig's own upstream, and to a real one: that one sees no request that ours did not see, and sees
/// the same in it.
fn agree(witness: Option<Witness>) {
    let Some(witness) = witness else { return };
    let ours = recorder(&Slot::default());
    let (beside, proxy) = (proxy(ours.address()), proxy(witness.address()));
    let cases: Vec<_> = case::all()
        .into_iter()
        .filter(|case| case.upstream.is_none())
        .collect();
    // Breaks that are told later than the canary that came after them.
    let late = RefCell::new(Vec::new());
    let read = Cell::new(0);
    each(&cases, |number, case| {
        let before = ours.request_count();
        converse(case, number, beside.public(), true);
        wait_until("broken connections are closed", || {
            ours.live_connections() <= 1
        });
        let expected = facts_of(case, &ours.all_requests().split_off(before), ours.address());

        converse(case, number, proxy.public(), false);
        let fresh = format!("/canary/{number}/fresh");
        let mut told = Vec::new();
        wait_until("the canary is told", || {
            told = witness.facts_after(read.get());
            told.iter().any(|fact| fact.target == fresh)
        });
        read.set(read.get() + told.len());
        let mut allowed = [late.take(), expected].concat();
        for mut seen in told {
            seen.host = named(&seen.host, witness.address());
            let is_known = seen.target.starts_with("/canary/") || take(&mut allowed, &seen);
            assert!(
                is_known,
                "{seen:?} is none of what was forwarded: {allowed:?}"
            );
        }
        allowed.retain(|fact| fact.length.is_none());
        late.replace(allowed);
    });
    let facts = witness.facts_after(0);
    let attempts = |line: &serde_json::Value| line["attempts"].as_array().map_or(0, Vec::len);
    let forwarded = || proxy.log_lines().iter().map(attempts).sum::<usize>();
    proxy.wait_until("as many forwarded as understood", || {
        facts.len() <= forwarded() // the log comes a moment after the answer
    });
    let forwarded = forwarded();
    // A witness that refuses everything proves nothing: it has read most of what was forwarded whole.
    let whole = facts.iter().filter(|fact| fact.length.is_some()).count();
    assert!(
        whole * 10 >= forwarded * 9,
        "{whole} whole of {forwarded} forwarded"
    );
    beside.finish();
    proxy.finish();
}

#[test]
fn nginx_sees_no_request_that_was_not_forwarded() {
    agree(Witness::nginx());
}

#[test]
fn python_sees_no_request_that_was_not_forwarded() {
    agree(Witness::python());
}

#[test]
fn node_sees_no_request_that_was_not_forwarded() {
    agree(Witness::node());
}
