//! Asks a filter of a record.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::field::{Field, Plain};
use super::tree::{Literal, Node, Operator};
use crate::config::Plan;
use crate::exchange::{Attempt, Record};
use crate::telemetry::log::{method, place, protocol};
use crate::telemetry::{label, mask};

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) plan: &'a Plan,
    pub(super) record: &'a Record,
    /// Whether the exchange has ended; how it ended is not there before.
    pub(super) is_over: bool,
}

/// What a field of it is.
enum Value<'a> {
    Number(u64),
    Duration(Duration),
    Text(Cow<'a, str>),
    Address(SocketAddr),
    Flag(bool),
}

/// Whether it holds.
pub(super) fn holds(node: &Node, subject: &Subject<'_>) -> bool {
    match node {
        Node::And(parts) => parts.iter().all(|part| holds(part, subject)),
        Node::Or(parts) => parts.iter().any(|part| holds(part, subject)),
        Node::Not(part) => !holds(part, subject),
        Node::Is(field) => any(field, subject, |value| !matches!(value, Value::Flag(false))),
        Node::Compare(field, operator, literal) => {
            any(field, subject, |value| compares(&value, *operator, literal))
        }
        Node::In(field, literals) => any(field, subject, |value| {
            literals
                .iter()
                .any(|literal| compares(&value, Operator::Equal, literal))
        }),
        Node::Matches(field, pattern) => any(field, subject, |value| match value {
            Value::Text(text) => pattern.0.is_match(&text),
            _ => false,
        }),
    }
}

fn compares(value: &Value<'_>, operator: Operator, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::Number(it), Literal::Number(other) | Literal::Size(other)) => {
            operator.holds(it, other)
        }
        (Value::Duration(it), Literal::Duration(other)) => operator.holds(it, other),
        (Value::Text(it), Literal::Text(other)) => operator.holds(&&**it, &&**other),
        (Value::Flag(it), Literal::Flag(other)) => operator.holds(it, other),
        (Value::Address(it), Literal::Net(net)) => operator.holds(&net.contains(&it.ip()), &true),
        (Value::Address(it), Literal::Socket(other)) => operator.holds(it, other),
        _ => false, // the reader lets no other pair through
    }
}

/// Whether the field is there and its value passes; of what there are several of, whether one does.
fn any(field: &Field, subject: &Subject<'_>, mut passes: impl FnMut(Value<'_>) -> bool) -> bool {
    let Subject { plan, record, .. } = *subject;
    let mut attempts = record.attempts();
    match field {
        Field::Plain(Plain::AttemptStatus) => attempts
            .filter_map(|it| it.status)
            .any(|status| passes(Value::Number(status.into()))),
        Field::Plain(Plain::AttemptOutcome) => attempts
            .filter(|it| it.ended_us != 0)
            .any(|it| passes(Value::Text(it.outcome.as_str().into()))),
        Field::Plain(Plain::AttemptEndpoint) => {
            attempts.any(|it| endpoint(plan, Some(it)).is_some_and(&mut passes))
        }
        Field::Plain(plain) => value(*plain, subject).is_some_and(passes),
        Field::Phase(phase) => {
            let time = record.phases.get(*phase);
            !time.is_zero() && passes(Value::Duration(time))
        }
        Field::Header(name) => {
            let names = &plan.telemetry.headers;
            let place = names.iter().position(|known| known.as_str() == &**name);
            let value = place.and_then(|it| record.headers.as_ref()?.get(it));
            value.is_some_and(|value| passes(Value::Text(value.into())))
        }
    }
}

/// What this field is; `None` where the exchange has none.
fn value<'a>(plain: Plain, subject: &Subject<'a>) -> Option<Value<'a>> {
    let Subject {
        plan,
        record,
        is_over,
    } = *subject;
    let words = record.text.words();
    let listener = || plan.listeners.get(usize::from(record.listener));
    let some = |text: &'a str| (!text.is_empty()).then(|| Value::Text(text.into()));
    let hex = |id: [u8; 32]| Value::Text(String::from_utf8_lossy(&id).into_owned().into());
    Some(match plain {
        Plain::Status if is_over || record.head_after.is_some() => {
            Value::Number(record.status.into())
        }
        Plain::Status => return None,
        Plain::Route => {
            let route = record.route.and_then(|at| plan.routes.get(usize::from(at)));
            Value::Text(route.map_or(label::UNMATCHED, |it| it.name.as_str()).into())
        }
        Plain::Upstream => Value::Text(place(plan, record.attempts().last())?.0.into()),
        Plain::Endpoint => endpoint(plan, record.attempts().last())?,
        Plain::Listener => Value::Text(listener()?.name.as_str().into()),
        Plain::Outcome if is_over => Value::Text(record.outcome.as_str().into()),
        Plain::Side if is_over => Value::Text(record.outcome.side()?.as_str().into()),
        Plain::Error if is_over => Value::Flag(record.is_error()),
        Plain::Outcome | Plain::Side | Plain::Error => return None,
        Plain::Method => Value::Text(method(record).into()),
        Plain::Scheme if record.is_tls => Value::Text("https".into()),
        Plain::Scheme => Value::Text("http".into()),
        Plain::Host => some(words.host)?,
        Plain::Path => some(words.path)?,
        Plain::Query if words.query.is_empty() => return None,
        Plain::Query => Value::Text(mask::masked(words.query)),
        Plain::Protocol => Value::Text(protocol(record.protocol).into()),
        Plain::Client => canonical(record.client, 0),
        Plain::Peer => canonical(record.peer.ip(), record.peer.port()),
        Plain::User => Value::Text((&*record.identity.as_ref()?.name).into()),
        Plain::UserAgent => some(words.user_agent)?,
        Plain::Duration => Value::Duration(record.duration()),
        Plain::Attempts => Value::Number(record.attempts().count() as u64),
        Plain::Reused => Value::Flag(record.attempts().last().is_some_and(|it| it.is_reused)),
        Plain::Retried => Value::Flag(!record.more.is_empty()),
        Plain::BytesIn => Value::Number(record.bytes_in),
        Plain::BytesOut => Value::Number(record.bytes_out),
        Plain::GrpcStatus => Value::Number(record.grpc_status?.into()),
        Plain::Tls => Value::Text(record.tls.as_ref()?.version.as_str().into()),
        Plain::Tunnel => Value::Text(record.tunnel?.as_str().into()),
        Plain::TraceId => hex(record.trace.trace_id.hex()),
        Plain::RequestId if !words.request_id.is_empty() => some(words.request_id)?,
        Plain::RequestId if listener()?.request_id => hex(record.trace.trace_id.hex()),
        Plain::RequestId => return None,
        Plain::Generation => Value::Number(record.generation.into()),
        Plain::Connection => Value::Number(record.connection),
        Plain::Sampled => Value::Flag(record.kept.is_some()),
        // Those of attempts are several, and asked before.
        Plain::AttemptStatus | Plain::AttemptEndpoint | Plain::AttemptOutcome => return None,
    })
}

fn endpoint(plan: &Plan, attempt: Option<&Attempt>) -> Option<Value<'static>> {
    Some(Value::Text(place(plan, attempt)?.1.to_string().into()))
}

fn canonical(address: IpAddr, port: u16) -> Value<'static> {
    Value::Address(SocketAddr::new(address.to_canonical(), port))
}
