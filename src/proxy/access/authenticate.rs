//! The layer that asks who a client is: names and passwords, RFC 7617.
//!
//! What it was shown is taken out before the request goes on: a service behind does not need our passwords. Who shows
//! nothing, or what is not right, is answered 401 with the challenge and told no more.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use tower::Service;
use tracing::trace;

use super::Credentials;
use super::credentials::Glance;
use crate::exchange::{Fault, Outcome, Request, Response, Serve};

/// Refuses with 401 who does not show a name and its password.
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    basic: Option<Rc<Challenge>>,
}

/// What is asked for.
#[derive(Debug)]
struct Challenge {
    credentials: Arc<Credentials>,
    value: HeaderValue,
}

/// The longest credentials that are looked at, in bytes as they are sent.
const LONGEST: usize = 1024;

// === impl Authenticate ===

impl<S> Authenticate<S> {
    /// Asks for these credentials under this realm; `None` lets all through.
    #[must_use]
    pub fn new(inner: S, basic: Option<(&str, Arc<Credentials>)>) -> Self {
        let basic = basic.map(|(realm, credentials)| {
            let text = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
            let value = HeaderValue::try_from(text);
            Rc::new(Challenge {
                credentials,
                value: value.unwrap_or_else(|_| HeaderValue::from_static("Basic realm=\"\"")),
            })
        });
        Self { inner, basic }
    }
}

impl<S> Service<Request> for Authenticate<S>
where
    S: Serve + Clone + 'static,
{
    type Response = Response;
    type Error = Fault;
    type Future = AuthenticateFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(challenge) = &self.basic else {
            return AuthenticateFuture::Passed {
                inner: self.inner.call(request),
            };
        };
        let Some((name, password)) = shown(&request.head.headers) else {
            return AuthenticateFuture::Refused {
                fault: challenge.refuse(&request, "no credentials that can be read were shown"),
            };
        };
        request.head.headers.remove(header::AUTHORIZATION);
        if challenge.credentials.glance(&name, &password) == Glance::Right {
            trace!("the credentials are right: they were checked before");
            request.exchange.note_identity(&name);
            return AuthenticateFuture::Passed {
                inner: self.inner.call(request),
            };
        }
        let Some(place) = Credentials::place() else {
            return AuthenticateFuture::Refused {
                fault: Fault::new(Outcome::Overloaded, "too many passwords are being checked"),
            };
        };
        let (mut inner, challenge) = (self.inner.clone(), Rc::clone(challenge));
        AuthenticateFuture::Checking {
            inner: Box::pin(async move {
                let credentials = Arc::clone(&challenge.credentials);
                trace!("checking the password, beside the worker");
                if !credentials.check(name.clone(), password, place).await {
                    return Err(challenge.refuse(&request, "the credentials are not right"));
                }
                request.exchange.note_identity(&name);
                inner.call(request).await
            }),
        }
    }
}

// === impl Challenge ===

impl Challenge {
    fn refuse(&self, request: &Request, why: &'static str) -> Fault {
        request.exchange.note_challenge(self.value.clone());
        Fault::new(Outcome::HttpRequestDenied, why).with_status(401)
    }
}

/// The name and the password of the one `Authorization` field.
fn shown(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() || value.len() > LONGEST {
        return None;
    }
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut name = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = name.iter().position(|byte| *byte == b':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    Some((String::from_utf8(name).ok()?, password))
}

// === impl AuthenticateFuture ===

pin_project_lite::pin_project! {
    /// What follows, a refusal, or the check before either: boxed, since it holds the request and is rare.
    #[project = AuthenticateProjection]
    #[must_use = "futures do nothing unless polled"]
    pub enum AuthenticateFuture<F> {
        Passed { #[pin] inner: F },
        Refused { fault: Fault },
        Checking { inner: Pin<Box<dyn Future<Output = Result<Response, Fault>>>> },
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for AuthenticateFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            AuthenticateProjection::Passed { inner } => inner.poll(cx),
            AuthenticateProjection::Refused { fault } => Poll::Ready(Err(*fault)),
            AuthenticateProjection::Checking { inner } => inner.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<(String, String)> {
        let line = |text: &&str| {
            (
                header::AUTHORIZATION,
                HeaderValue::from_str(text).expect("a value"),
            )
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        let (name, password) = shown(&headers)?;
        Some((name, String::from_utf8(password).expect("text")))
    }

    #[test]
    fn reads_one_field_of_one_name_and_one_password() {
        let told = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(read(&["Basic YWRhOnNlY3JldA=="]), told("ada", "secret"));
        assert_eq!(read(&["bAsIc  YWRhOnNlY3JldA== "]), told("ada", "secret"));
        assert_eq!(
            read(&["Basic YWRhOmE6Yg=="]),
            told("ada", "a:b"),
            "a password may have colons"
        );
        assert_eq!(read(&["Basic YWRhOg=="]), told("ada", ""));
        for wrong in [
            &[][..],
            &["Basic"],
            &["Basic "],
            &["Basic YWRh"],
            &["Basic YWRhOnNlY3JldA=="; 2],
            &["Bearer YWRhOnNlY3JldA=="],
            &["Basic !!!"],
            &["Basic /zpw"],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(
            read(&[&format!("Basic {}", "YWRhOnNlY3JldA".repeat(100))]),
            None
        );
    }
}
