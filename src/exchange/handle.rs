//! The handle that layers note facts on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::on_worker::TaskCut;
use super::phase::PhaseClock;
use super::record::KnownMethod;
use super::state::{Core, Facts, Limits, NEVER, short};
use super::{
    BodyError, Connection, Entered, Fault, Headers, LimitNote, LimitStates, Outcome, Phase,
    Protocol, Record, Text, Timeout, TracePlace, grpc, live,
};

/// One exchange, while it lasts. A handle: clones name the same exchange.
#[derive(Clone)]
pub struct Exchange(pub(super) Rc<Core>);

// === impl Exchange ===

impl Exchange {
    /// A request head is complete: an exchange begins. Its clock starts at the request's first byte.
    #[must_use]
    pub fn open(
        connection: &Rc<Connection>,
        method: &http::Method,
        protocol: Protocol,
        generation: u32,
    ) -> Self {
        let now = Instant::now();
        let clock = PhaseClock::new(connection.open_exchange(now));
        clock.enter(Phase::Admit, now);
        let core = Rc::new(Core {
            connection: Rc::clone(connection),
            clock,
            waited: Cell::new(0),
            place: Cell::new(0),
            considered: Cell::default(),
            limits: Cell::new(Limits {
                total: None,
                attempt: None,
                client_body: connection.body_timeout,
                head: NEVER,
                idle: NEVER,
            }),
            expired: Cell::new(None),
            waker: RefCell::new(None),
            task: RefCell::new(None),
            protocol,
            is_grpc: Cell::new(false),
            wish: Cell::new(None),
            tunnel: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            facts: RefCell::new(Some(Facts {
                trace: TracePlace::root(false),
                generation,
                route: None,
                entered: None,
                method: KnownMethod::of(method),
                status: 0,
                ending: None,
                detail: "",
                grpc_status: None,
                is_stream: false,
                head_after: None,
                client: connection.peer().ip().to_canonical(),
                first: None,
                more: Vec::new(),
                text: Text::default(),
                limit: None,
                concurrency: None,
                headers: None,
                asked: None,
                body_error: None,
                held: Vec::new(),
            })),
        });
        core.place.set(live::enter(&core));
        Self(core)
    }

    /// The connection it came over.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// When its first byte came.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.0.clock.started()
    }

    /// The phase it is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.clock.phase()
    }

    /// When its present phase began, or last made progress.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.0.clock.since()
    }

    /// From now on its time is `phase`'s; the answer is now.
    pub fn enter(&self, phase: Phase) -> Instant {
        let now = Instant::now();
        self.0.enter(phase, now);
        now
    }

    /// The request's body is waited for, or out; without effect once a response head is there, since from then on the
    /// time is the response's.
    pub fn upload(&self, phase: Phase) {
        if self.0.clock.phase() != phase {
            self.upload_step(phase);
        }
    }

    /// A piece of the request's body goes up: progress, also where the phase stays what it was.
    pub fn upload_step(&self, phase: Phase) {
        let now = self.0.clock.phase();
        if matches!(now, Phase::SendClient | Phase::SendUpstream | Phase::Wait) {
            self.enter(phase);
        }
    }

    // What layers note.

    /// Its place in a trace, as the caller's context and the head decision make it.
    pub fn note_trace(&self, trace: TracePlace) {
        self.0.note(|facts| facts.trace = trace);
    }

    /// Another head decision than the one that came with its place in a trace.
    pub fn note_sampled(&self, decide: impl FnOnce(&TracePlace) -> bool) {
        self.0.note(|facts| {
            let is_sampled = decide(&facts.trace);
            facts.trace.sample(is_sampled);
        });
    }

    /// The client's words, copied.
    pub fn note_words(&self, text: Text) {
        self.0.note(|facts| facts.text = text);
    }

    /// The client's address, as trusted proxies name it.
    pub fn note_client(&self, client: IpAddr) {
        self.0.note(|facts| facts.client = client);
    }

    /// The route that takes it, with the longest pauses that the route allows the upstream. `entered` counts it among
    /// the route's active ones until it ends.
    pub fn note_route(&self, route: u16, head: Duration, idle: Duration, entered: Entered) {
        self.0.note(|facts| {
            facts.route = Some(route);
            facts.entered = Some(entered);
        });
        self.0.limits.set(Limits {
            head,
            idle,
            ..self.0.limits.get()
        });
    }

    /// The header fields that are kept.
    pub fn note_headers(&self, headers: Box<Headers>) {
        self.0.note(|facts| facts.headers = Some(headers));
    }

    /// How many lived on the route when its limit was asked, and how many may.
    pub fn note_concurrency(&self, live: u32, most: u32) {
        self.0.note(|facts| facts.concurrency = Some((live, most)));
    }

    /// What a rate limit said.
    pub fn note_limit(&self, limit: LimitNote) {
        self.0.note(|facts| facts.limit = Some(limit));
    }

    /// That it ends by this fault, however its answer fares. From now on only the client can take too long: the time
    /// that was up must not cut the answer that says so.
    pub fn note_fault(&self, fault: &Fault) {
        self.0.expired.set(None);
        self.0.limits.set(Limits {
            total: None,
            attempt: None,
            ..self.0.limits.get()
        });
        self.0.note(|facts| {
            facts.ending = Some(fault.outcome());
            facts.detail = fault.detail();
        });
    }

    /// Why it did not go well, after the response head.
    pub fn note_detail(&self, detail: &'static str) {
        self.0.note(|facts| facts.detail = detail);
    }

    /// That the request's body failed.
    pub fn note_body_error(&self, error: BodyError) {
        self.0.note(|facts| {
            facts.body_error.get_or_insert(error);
        });
    }

    /// The status that goes to the client, and that its head goes now.
    pub fn note_head(&self, status: u16, is_stream: bool) {
        // The head was received, or the fault answered, when the present phase began: no need to ask the clock again.
        let after = self
            .0
            .clock
            .since()
            .saturating_duration_since(self.started());
        self.0.note(|facts| {
            facts.status = status;
            facts.is_stream = is_stream;
            facts.head_after = Some(after);
        });
    }

    /// That the request is a gRPC call.
    pub fn note_grpc(&self) {
        self.0.is_grpc.set(true);
    }

    /// The status of gRPC, from the upstream's trailers or our own answer. It is also the present attempt's, if that
    /// has not ended.
    pub fn note_grpc_status(&self, status: u8) {
        self.0.note(|facts| facts.grpc_status = Some(status));
        self.note_attempt_grpc_status(status);
    }

    /// Keeps a permit until the exchange ends.
    pub fn hold(&self, permit: impl Any) {
        self.0.note(|facts| facts.held.push(Box::new(permit)));
    }

    /// So many bytes of the request's body came.
    pub fn count_in(&self, bytes: u64) {
        self.0.bytes_in.set(self.0.bytes_in.get() + bytes);
    }

    /// So many bytes of the response's body were handed on.
    pub fn count_out(&self, bytes: u64) {
        self.0.bytes_out.set(self.0.bytes_out.get() + bytes);
    }

    // What layers ask.

    /// Its place in a trace.
    #[must_use]
    pub fn trace(&self) -> TracePlace {
        self.0
            .ask(|facts| facts.trace.clone())
            .unwrap_or_else(|| TracePlace::root(false))
    }

    /// Asks something of its place in a trace, without a copy.
    pub fn with_trace<T>(&self, ask: impl FnOnce(&TracePlace) -> T) -> Option<T> {
        self.0.ask(|facts| ask(&facts.trace))
    }

    /// Asks something of the client's words, without a copy.
    pub fn with_text<T>(&self, ask: impl FnOnce(&Text) -> T) -> Option<T> {
        self.0.ask(|facts| ask(&facts.text))
    }

    /// The client's address, as trusted proxies name it.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.0
            .ask(|facts| facts.client)
            .unwrap_or(self.0.connection.peer().ip())
    }

    /// Whether the request is a gRPC call.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.0.is_grpc.get()
    }

    /// The protocol that the client spoke.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// What a rate limit said, where one was asked.
    #[must_use]
    pub fn limit(&self) -> Option<LimitNote> {
        self.0.ask(|facts| facts.limit).flatten()
    }

    /// That the request's body failed, if it did.
    #[must_use]
    pub fn body_error(&self) -> Option<BodyError> {
        self.0.ask(|facts| facts.body_error).flatten()
    }

    /// Where its time has gone until now.
    #[must_use]
    pub fn times(&self) -> super::PhaseTimes {
        self.0.clock.times(Instant::now())
    }

    // Time.

    /// Ends it when so much has passed since its first byte. A time that no clock can name is none.
    pub fn set_total(&self, total: Duration) {
        self.0.limits.set(Limits {
            total: self.started().checked_add(total),
            ..self.0.limits.get()
        });
    }

    /// How much of its whole time is left now; `None` where that is not limited.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let total = self.0.limits.get().total?;
        Some(total.saturating_duration_since(Instant::now()))
    }

    /// Ends the present attempt when `limit` has passed from now; `None` lifts that.
    pub fn set_attempt_limit(&self, limit: Option<Duration>) {
        let attempt = limit.map(|limit| Instant::now() + limit);
        self.0.limits.set(Limits {
            attempt,
            ..self.0.limits.get()
        });
    }

    /// Which time is up, if one is.
    #[must_use]
    pub fn expired(&self) -> Option<Timeout> {
        self.0.expired.get()
    }

    /// Forgets that an attempt's time is up: another may follow.
    pub fn clear_attempt_timeout(&self) {
        if let Some(Timeout::Attempt | Timeout::Head) = self.0.expired.get() {
            self.0.expired.set(None);
        }
    }

    /// Says which task to wake when a time is up: the one that is being polled.
    pub fn woken_by(&self, waker: &Waker) {
        let mut known = self.0.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
            if self.0.protocol == Protocol::Http2 {
                self.0.task.replace(TaskCut::of_this_task());
            }
        }
    }

    /// Ends it with `outcome`, or with the fault that was noted. The first call gets the record, every later one
    /// `None`. An attempt that has not ended ends with it.
    #[must_use]
    pub fn finish(&self, outcome: Outcome) -> Option<Record> {
        let core = &self.0;
        let facts = core.facts.borrow_mut().take()?;
        let outcome = facts.ending.unwrap_or(outcome);
        let now = Instant::now();
        let phases = core.clock.times(now);
        let ended_us = core.micros(now).max(1);
        live::leave(core.place.get());
        core.connection.close_exchange(now);
        let (mut first, mut more) = (facts.first, facts.more);
        if let Some(last) = more.last_mut().or(first.as_mut())
            && last.ended_us == 0
        {
            last.ended_us = ended_us;
            last.outcome = outcome;
        }
        let has_head = facts.head_after.is_some();
        // Of a call there is always a status: where nobody said one, what the client's library makes of what it saw.
        let grpc_status = facts.grpc_status.or_else(|| {
            core.is_grpc.get().then(|| match outcome {
                Outcome::Served => grpc::of_http(facts.status),
                outcome => outcome.grpc_status(),
            })
        });
        Some(Record {
            started: core.clock.started(),
            phases,
            waited_us: short(core.waited.get() / 1_000),
            trace: facts.trace,
            kept: None,
            generation: facts.generation,
            connection: core.connection.id,
            listener: core.connection.listener,
            route: facts.route,
            method: facts.method,
            protocol: core.protocol,
            status: if has_head {
                facts.status
            } else {
                outcome.status()
            },
            outcome,
            detail: facts.detail,
            grpc_status,
            tls: core.connection.tls().cloned(),
            is_tls: core.connection.is_tls(),
            is_stream: facts.is_stream,
            tunnel: core.tunnel.get(),
            head_after: facts.head_after,
            client: facts.client,
            peer: core.connection.peer(),
            bytes_in: core.bytes_in.get(),
            bytes_out: core.bytes_out.get(),
            first,
            more,
            headers: facts.headers,
            limits: LimitStates::of(facts.limit, facts.concurrency),
            identity: facts.asked.and_then(|asked| asked.identity),
            text: facts.text,
        })
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("phase", &self.phase())
            .field("is_over", &self.0.facts.borrow().is_none())
            .finish_non_exhaustive()
    }
}
