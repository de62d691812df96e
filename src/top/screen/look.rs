//! What is looked at, and what a key does to it. Neither draws nor asks.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

use super::ask::{Ask, News};
use super::rows::{self, Subject};
use super::sheet::{Place, Row, Sheet};
use crate::top::read::{list, text};

/// The tables at the bottom of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Routes,
    Upstreams,
    Endpoints,
    InFlight,
    Connections,
}

/// What lies over the pane.
#[derive(Clone, Debug)]
pub(super) enum Over {
    Exchanges {
        title: String,
        sheet: Sheet<Subject>,
        place: Place<Subject>,
    },
    Page {
        title: String,
        text: String,
        /// Lines that are scrolled away.
        away: u16,
    },
}

/// What a key asks for besides another look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Ask(Ask),
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) admin: String,
    pub(super) is_coloured: bool,
    pub(super) round: Value,
    pub(super) in_flight: Value,
    /// The rounds come no more, and why.
    pub(super) away: Option<String>,
    /// What the last question or act came to, and whether that is bad.
    pub(super) said: Option<(String, bool)>,
    pub(super) pane: Pane,
    places: [Place<Subject>; 5],
    pub(super) over: Vec<Over>,
    /// What rows must have in them.
    pub(super) filter: String,
    pub(super) is_typing: bool,
    /// The endpoint that is to be taken out or put back, once a state is chosen.
    pub(super) holding: Option<(String, String)>,
    /// Lines of the table that fit, as it was last drawn.
    pub(super) height: u16,
}

pub(super) const PANES: [(Pane, &str); 5] = [
    (Pane::Routes, "Routes"),
    (Pane::Upstreams, "Upstreams"),
    (Pane::Endpoints, "Endpoints"),
    (Pane::InFlight, "In flight"),
    (Pane::Connections, "Connections"),
];

pub(super) const HELP: &str = "\
Tab, 1 to 5          the next table, this table: routes, upstreams, endpoints, in flight, who holds connections
up down PgUp PgDn    choose a row (also j k, Home, End)
Enter                what lies under it: its newest failures (or slowest), then the waterfall of one
v                    why: what sets the exchanges of the verdict apart
w                    why: what sets the failures of the row apart
F4 /                 show rows with this text only; Esc ends it
F6 > <               order by the next column, by the one before
I                    turn the order round
F9 d                 take the endpoint out for 10 minutes, or put it back
Esc, Backspace       back
F1 ? h               this
F10 q                quit

Routes: rates of the last seconds, of whole exchanges. Upstreams and endpoints: the last minute, of attempts.
FAILED: the share of errors, as `error` in a filter: not `served` to the end, or 5xx.";

// === impl Pane ===

impl Pane {
    /// Whether it shows what is in the proxy now, which is asked for only then.
    pub(super) fn is_in_flight(self) -> bool {
        matches!(self, Self::InFlight | Self::Connections)
    }
}

// === impl Look ===

impl Look {
    pub(super) fn new(admin: String, is_coloured: bool) -> Self {
        Self {
            admin,
            is_coloured,
            round: Value::Null,
            in_flight: Value::Null,
            away: None,
            said: None,
            pane: Pane::Routes,
            // What fails most comes first; of what is in flight, the oldest; of peers, who holds most.
            places: [2, 2, 4, 0, 1].map(Place::ordered_by),
            over: Vec::new(),
            filter: String::new(),
            is_typing: false,
            holding: None,
            height: 10,
        }
    }

    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Round(round) => {
                self.round = round;
                self.away = None;
            }
            News::InFlight(page) => self.in_flight = page,
            News::Exchanges(title, page) => self.over.push(Over::Exchanges {
                title,
                sheet: rows::exchanges(&page),
                place: Place::ordered_by(usize::MAX), // as they came
            }),
            News::Page(title, text) => self.over.push(Over::Page {
                title,
                text,
                away: 0,
            }),
            News::Said(what) => self.said = Some((what, false)),
            News::Trouble(why) => self.said = Some((why, true)),
            News::Away(why) => self.away = Some(why),
        }
    }

    pub(super) fn findings(&self) -> &[Value] {
        list(&self.round["verdict"]["findings"])
    }

    pub(super) fn sheet(&self, pane: Pane) -> Sheet<Subject> {
        match pane {
            Pane::Routes => rows::routes(&self.round),
            Pane::Upstreams => rows::upstreams(&self.round),
            Pane::Endpoints => rows::endpoints(&self.round),
            Pane::InFlight => rows::in_flight(&self.in_flight),
            Pane::Connections => rows::connections(&self.in_flight),
        }
    }

    pub(super) fn place(&self, pane: Pane) -> &Place<Subject> {
        &self.places[pane as usize]
    }

    /// What a key does; nothing where it means nothing here.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Some(Wish::Quit);
        }
        self.said = None;
        if self.is_typing {
            self.typed(key.code);
            return None;
        }
        if let Some((upstream, endpoint)) = self.holding.take() {
            let state = match key.code {
                KeyCode::Char('d') => "drain",
                KeyCode::Char('o') => "off",
                KeyCode::Char('r') => "ready",
                _ => return None, // anything else is a no
            };
            return Some(Wish::Ask(Ask::Hold {
                upstream,
                endpoint,
                state,
            }));
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::F(10) => return Some(Wish::Quit),
            KeyCode::Esc | KeyCode::Backspace if self.over.pop().is_none() => self.filter.clear(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help(),
            KeyCode::Char('v') => {
                // Of the first that has exchanges behind it: connections that were refused have none.
                let filters = self.findings().iter().map(|it| text(&it["filter"]));
                let filter = filters.into_iter().find(|filter| !filter.is_empty());
                return Some(Wish::Ask(Ask::Why(filter)));
            }
            KeyCode::Char('w') => return Some(Wish::Ask(Ask::Why(self.chosen_filter()))),
            KeyCode::Char('d') | KeyCode::F(9) => self.hold(),
            KeyCode::Enter => return self.enter(),
            KeyCode::Char('1') => return self.show(Pane::Routes),
            KeyCode::Char('2') => return self.show(Pane::Upstreams),
            KeyCode::Char('3') => return self.show(Pane::Endpoints),
            KeyCode::Char('4') => return self.show(Pane::InFlight),
            KeyCode::Char('5') => return self.show(Pane::Connections),
            KeyCode::Tab => return self.next(1),
            KeyCode::BackTab => return self.next(PANES.len() - 1),
            KeyCode::F(4) | KeyCode::Char('/') if self.over.is_empty() => {
                self.is_typing = true;
                self.filter.clear();
            }
            KeyCode::F(6) | KeyCode::Char('>') => self.order(1),
            KeyCode::Char('<') => self.order(-1),
            KeyCode::Char('I') => self.turn(),
            other => self.step(other),
        }
        None
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(it) if !it.is_control() => self.filter.push(it),
            _ => {}
        }
    }

    fn help(&mut self) {
        self.over.push(Over::Page {
            title: "help".to_owned(),
            text: HELP.to_owned(),
            away: 0,
        });
    }

    fn show(&mut self, pane: Pane) -> Option<Wish> {
        self.over.clear();
        self.pane = pane;
        pane.is_in_flight().then_some(Wish::Ask(Ask::InFlight))
    }

    fn next(&mut self, by: usize) -> Option<Wish> {
        self.show(PANES[(self.pane as usize + by) % PANES.len()].0)
    }

    fn order(&mut self, by: isize) {
        if self.over.is_empty() {
            let columns = self.sheet(self.pane).columns.len();
            let place = &mut self.places[self.pane as usize];
            let at = place.by.cast_signed() + by;
            place.by = at.rem_euclid(columns.cast_signed()).cast_unsigned();
        }
    }

    fn turn(&mut self) {
        let place = &mut self.places[self.pane as usize];
        place.is_turned = !place.is_turned;
    }

    fn step(&mut self, code: KeyCode) {
        let page = isize::try_from(self.height).unwrap_or(10);
        let by = match code {
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::PageUp => -page,
            KeyCode::PageDown => page,
            KeyCode::Home => isize::MIN / 2,
            KeyCode::End => isize::MAX / 2,
            _ => return,
        };
        match self.over.last_mut() {
            None => {
                let sheet = self.sheet(self.pane);
                let place = &self.places[self.pane as usize];
                let rows = sheet.arranged(place, &self.filter);
                self.places[self.pane as usize].step(&rows, by);
            }
            Some(Over::Exchanges { sheet, place, .. }) => {
                let rows = sheet.arranged(place, "");
                place.step(&rows, by);
            }
            Some(Over::Page { text, away, .. }) => {
                let last = text.lines().count().saturating_sub(1);
                let to = usize::from(*away).saturating_add_signed(by).min(last);
                *away = u16::try_from(to).unwrap_or(u16::MAX);
            }
        }
    }

    /// What the chosen row is about.
    fn chosen(&self) -> Option<Subject> {
        let at = |place: &Place<Subject>, rows: &[&Row<Subject>]| {
            rows.get(place.at(rows)).map(|row| row.subject.clone())
        };
        match self.over.last() {
            None => {
                let (sheet, place) = (self.sheet(self.pane), self.place(self.pane));
                at(place, &sheet.arranged(place, &self.filter))
            }
            Some(Over::Exchanges { sheet, place, .. }) => at(place, &sheet.arranged(place, "")),
            Some(Over::Page { .. }) => None,
        }
    }

    /// The failures of the chosen row.
    fn chosen_filter(&self) -> Option<String> {
        match self.chosen()? {
            Subject::Exchange(_) => None,
            subject => Some(format!("{} && error", filter(&subject))),
        }
    }

    fn enter(&mut self) -> Option<Wish> {
        Some(Wish::Ask(match self.chosen()? {
            Subject::Exchange(id) => Ask::Trace(id),
            subject => Ask::Worst(filter(&subject)),
        }))
    }

    fn hold(&mut self) {
        match self.chosen() {
            Some(Subject::Endpoint { upstream, endpoint }) => {
                self.holding = Some((upstream, endpoint));
            }
            _ => {
                let what = "choose an endpoint first: key 3 shows them";
                self.said = Some((what.to_owned(), true));
            }
        }
    }
}

/// The exchanges of this route, upstream, endpoint or peer.
fn filter(subject: &Subject) -> String {
    match subject {
        Subject::Route(route) => format!("route==\"{route}\""),
        Subject::Upstream(upstream) => format!("upstream==\"{upstream}\""),
        Subject::Endpoint { endpoint, .. } => format!("attempt.endpoint==\"{endpoint}\""),
        Subject::Exchange(id) => format!("trace_id==\"{id}\""),
        Subject::Peer(peer) => format!("peer==\"{peer}\""),
    }
}
