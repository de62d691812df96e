//! What the three services say: small JSON as a shop would have it. Who is in trouble is not decided here.

use hyper::http::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::script::Role;

/// How many things a large answer lists; it has some 250 KiB.
const LARGE_LIST: u32 = 2_600;
/// How many things an ordinary answer lists.
const SHORT_LIST: u32 = 5;
/// The things of the shop have the numbers from 1 to this one.
pub(super) const THINGS: u32 = 500;

/// What is sold, by turns.
const NOUNS: [&str; 6] = ["lamp", "chair", "kettle", "rug", "clock", "shelf"];

/// The answer of a service to a request, of which the path has the service's name in front.
pub(super) fn answer(role: Role, method: &Method, path: &str, is_large: bool) -> Response<String> {
    let rest = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(role.name()));
    let rest = rest.unwrap_or_default().trim_matches('/');
    let (status, body) = match role {
        Role::Checkout => checkout(method, rest),
        Role::Search => search(method, rest, is_large),
        Role::Inventory => inventory(method, rest),
        Role::Collector => return Response::default(), // an empty message of protobuf: all was taken
    };
    // What is answered to HEAD has no body; its length is not told either.
    if *method == Method::HEAD {
        return respond(status, String::new());
    }
    respond(status, body.to_string())
}

/// The answer of a service that is in trouble and says so.
pub(super) fn unavailable() -> Response<String> {
    let body = json!({"error": "the warehouse does not answer"});
    respond(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// The answer of a version that cannot do what it should.
pub(super) fn broken() -> Response<String> {
    let body = json!({"error": "relation \"orders_v2\" does not exist"});
    respond(StatusCode::INTERNAL_SERVER_ERROR, body.to_string())
}

fn checkout(method: &Method, rest: &str) -> (StatusCode, Value) {
    match (method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::GET | &Method::HEAD, ("cart", number)) => with_number(number, |number| {
            let things: Vec<Value> = (0..number % 3 + 1).map(|at| thing(number + at)).collect();
            json!({"cart": number, "items": things, "currency": "EUR"})
        }),
        (&Method::POST, ("orders", "")) => {
            let body = json!({"order": "A-1047", "state": "accepted", "total": 129.9});
            (StatusCode::CREATED, body)
        }
        (&Method::GET | &Method::HEAD, ("orders", number)) => {
            with_number(number, |number| json!({"order": number, "state": "packed"}))
        }
        _ => not_there(),
    }
}

fn search(method: &Method, rest: &str, is_large: bool) -> (StatusCode, Value) {
    if !rest.is_empty() || !matches!(*method, Method::GET | Method::HEAD) {
        return not_there();
    }
    let length = if is_large { LARGE_LIST } else { SHORT_LIST };
    let hits: Vec<Value> = (1..=length).map(thing).collect();
    (StatusCode::OK, json!({"hits": hits, "found": length}))
}

fn inventory(method: &Method, rest: &str) -> (StatusCode, Value) {
    match (method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::GET | &Method::HEAD, ("items", number)) => with_number(
            number,
            |number| json!({"item": thing(number), "in_stock": number % 40}),
        ),
        (&Method::PUT, ("items", number)) => {
            with_number(number, |number| json!({"item": number, "stored": true}))
        }
        (&Method::POST, ("reservations", "")) => {
            let body = json!({"reservation": "R-2210", "held_for_seconds": 900});
            (StatusCode::CREATED, body)
        }
        _ => not_there(),
    }
}

fn with_number(text: &str, body: impl FnOnce(u32) -> Value) -> (StatusCode, Value) {
    match text.parse() {
        Ok(number) if (1..=THINGS).contains(&number) => (StatusCode::OK, body(number)),
        _ => not_there(),
    }
}

fn not_there() -> (StatusCode, Value) {
    let body = json!({"error": "there is no such thing in this shop"});
    (StatusCode::NOT_FOUND, body)
}

/// One thing of the shop; the same number is always the same thing.
fn thing(number: u32) -> Value {
    let noun = NOUNS
        .iter()
        .cycle()
        .nth(number as usize % NOUNS.len())
        .unwrap_or(&"lamp");
    let cents = 990 + u64::from(number) * 7_919 % 20_000;
    json!({
        "sku": format!("{noun}-{number:04}"),
        "title": format!("A {noun}, number {number}, made to be looked at"),
        "price_cents": cents,
    })
}

fn respond(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(role: Role, method: &Method, path: &str) -> u16 {
        answer(role, method, path, false).status().as_u16()
    }

    #[test]
    fn each_service_answers_its_own_paths_and_no_others() {
        let (get, post, put) = (&Method::GET, &Method::POST, &Method::PUT);
        assert_eq!(status(Role::Checkout, get, "/checkout/cart/7"), 200);
        assert_eq!(status(Role::Checkout, post, "/checkout/orders"), 201);
        assert_eq!(status(Role::Checkout, get, "/checkout/cart/0"), 404);
        assert_eq!(status(Role::Checkout, get, "/search"), 404);
        assert_eq!(status(Role::Search, get, "/search"), 200);
        assert_eq!(status(Role::Search, post, "/search"), 404);
        assert_eq!(status(Role::Inventory, get, "/inventory/items/500"), 200);
        assert_eq!(status(Role::Inventory, put, "/inventory/items/9"), 200);
        assert_eq!(
            status(Role::Inventory, post, "/inventory/reservations"),
            201
        );
        assert_eq!(status(Role::Inventory, get, "/inventory/items/501"), 404);
        assert_eq!(status(Role::Inventory, get, "/inventory/../etc"), 404);
    }

    #[test]
    fn answers_are_small_and_large_ones_large() {
        let short = answer(Role::Search, &Method::GET, "/search", false);
        assert!(short.body().len() < 1_000, "{}", short.body().len());
        let large = answer(Role::Search, &Method::GET, "/search", true);
        assert!(large.body().len() > 200_000, "{}", large.body().len());
        let head = answer(Role::Search, &Method::HEAD, "/search", true);
        assert!(head.body().is_empty());
    }
}
