//! Days of an objective's life, in a moment.

use super::*;
use crate::config::{self, LatencyObjective, Slo};
use crate::telemetry::fixture::plan;
use crate::telemetry::metrics::Format;
use crate::telemetry::metrics::catalogue::{Owner, Wanted, Writer};
use crate::telemetry::recorder::Recorder;
use crate::telemetry::set_up::dump_at_burn;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A process with one route, `web`, that lives as fast as a test wants.
struct Life {
    slos: Slos,
    catalogue: Arc<Catalogue>,
    burns: Arc<Mutex<Vec<Burning>>>,
    now: u64,
}

impl Life {
    fn new(slo: Slo) -> Self {
        let burns = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&burns);
        let on_burn = Box::new(move |burning: &Burning| {
            told.lock().expect("whole").push(burning.clone());
        });
        Self::told(slo, burns, on_burn)
    }

    fn told(slo: Slo, burns: Arc<Mutex<Vec<Burning>>>, on_burn: OnBurn) -> Self {
        let catalogue = Catalogue::new();
        let slos = Slos::new(&catalogue, on_burn);
        let life = Self {
            slos,
            catalogue,
            burns,
            now: 0,
        };
        life.reload(Some(slo));
        life
    }

    fn reload(&self, slo: Option<Slo>) {
        let mut plan = plan(&["web"]);
        plan.routes[0].slo = slo;
        self.catalogue.adopt(&plan, 1);
        self.slos.adopt_at(&plan, Duration::from_secs(self.now));
    }

    fn count(&self, slo: &'static str, result: &str, count: u64) {
        let wanted = Wanted {
            family: &family::SLO_EVENTS,
            labels: &["web", slo, result],
            owner: Owner::Slo(Name::new("web"), slo),
            writer: Writer::Any,
        };
        self.catalogue.counter(wanted).add(count);
    }

    /// So many seconds, in every tenth of which so much is good and bad.
    fn live(&mut self, seconds: u64, good: u64, bad: u64) {
        for _ in 0..seconds / 10 {
            self.now += 10;
            self.count(AVAILABILITY, "good", good);
            self.count(AVAILABILITY, "bad", bad);
            self.slos.sample_at(Duration::from_secs(self.now));
        }
    }

    fn standing(&self) -> Standing {
        let now = Duration::from_secs(self.now);
        self.slos.standings_at(now).swap_remove(0)
    }

    fn burns(&self) -> usize {
        self.burns.lock().expect("whole").len()
    }
}

fn available(share: f64) -> Slo {
    Slo {
        availability: Some(Share(share)),
        latency: None,
        window: Duration::from_secs(30 * DAY),
    }
}

fn near(found: Option<f64>, wanted: f64) {
    let found = found.expect("lived through");
    let off = (found - wanted).abs();
    assert!(off <= wanted.abs() * 0.05 + 1e-9, "{found} for {wanted}");
}

#[test]
fn burn_rates_are_bad_shares_over_what_is_allowed() {
    let mut life = Life::new(available(0.999));
    life.live(3 * DAY, 998, 2);
    let standing = life.standing();
    for rate in standing.burn_rates() {
        near(rate, 2.0);
    }
    near(Some(standing.budget_left()), -1.0);
    life.live(5 * MINUTE, 900, 100);
    let [over_5m, over_30m, over_1h, over_6h, over_3d] = life.standing().burn_rates();
    near(over_5m, 98.0);
    near(over_30m, 18.0);
    near(over_1h, 10.0);
    near(over_6h, 3.35);
    near(over_3d, 2.1);
}

#[test]
fn a_young_process_says_nothing_of_windows_that_it_has_not_lived_through() {
    let mut life = Life::new(available(0.999));
    life.live(5 * MINUTE + 10, 0, 100);
    let standing = life.standing();
    let [over_5m, rest @ ..] = standing.burn_rates();
    near(over_5m, 1000.0);
    assert_eq!(rest, [None; 4]);
    assert_eq!(standing.lived, Duration::from_secs(5 * MINUTE + 10));
    assert_eq!(life.burns(), 0, "an hour was not lived through");
    let mut page = Page::new(Format::Text);
    life.slos.drawn().draw(&mut page);
    let text = page.finish();
    assert!(!text.contains("window=\"1h\""), "{text}");
    life.live(HOUR, 0, 100);
    assert_eq!(life.burns(), 1);
}

#[test]
fn a_fast_burn_is_told_once_and_again_after_it_has_ended() {
    let mut life = Life::new(available(0.999));
    life.live(2 * HOUR, 100, 0);
    assert_eq!(life.burns(), 0);
    life.live(30 * MINUTE, 50, 50);
    assert_eq!(life.burns(), 1);
    assert!(life.standing().is_burning);
    {
        let burns = life.burns.lock().expect("whole");
        assert_eq!(
            (burns[0].route.as_str(), burns[0].slo),
            ("web", "availability")
        );
        assert!(burns[0].over_5m >= FAST_BURN && burns[0].over_1h >= FAST_BURN);
    }
    life.live(10 * MINUTE, 100, 0);
    assert!(!life.standing().is_burning, "five minutes were good");
    life.live(10 * MINUTE, 50, 50);
    assert_eq!(life.burns(), 2);
}

#[test]
fn a_few_events_raise_nothing() {
    let mut life = Life::new(available(0.999));
    life.live(2 * HOUR, 0, 0);
    near(life.standing().burn_rates()[2], 0.0);
    life.count(AVAILABILITY, "bad", MIN_EVENTS - 1);
    life.live(10, 0, 0);
    near(life.standing().burn_rates()[2], 1000.0);
    assert_eq!(life.burns(), 0);
    life.count(AVAILABILITY, "bad", 1);
    life.live(10, 0, 0);
    assert_eq!(life.burns(), 1);
}

#[test]
fn a_reload_carries_the_past_over_unless_what_is_counted_has_changed() {
    let mut life = Life::new(available(0.999));
    life.live(2 * HOUR, 90, 10);
    life.reload(Some(available(0.99)));
    near(life.standing().burn_rates()[2], 10.0);
    let within = |millis| Slo {
        latency: Some(LatencyObjective {
            within: Duration::from_millis(millis),
            share: Share(0.99),
        }),
        availability: None,
        window: Duration::from_secs(30 * DAY),
    };
    life.reload(Some(within(300)));
    assert_eq!(life.standing().objective.slo, LATENCY);
    assert_eq!(life.standing().burn_rates(), [None; 5]);
    life.count(LATENCY, "bad", 30);
    life.live(2 * HOUR, 0, 0);
    life.reload(Some(within(200)));
    assert_eq!(
        life.standing().burn_rates(),
        [None; 5],
        "fast is another thing now"
    );
    assert_eq!(life.standing().counts.bad, 30, "a counter never falls");
    life.reload(None);
    assert!(life.slos.standings().is_empty());
    let mut page = Page::new(Format::Text);
    life.slos.drawn().draw(&mut page);
    assert_eq!(page.finish(), "");
}

#[test]
fn a_fast_burn_leaves_the_recorder_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = Recorder::new(&config::Recorder {
        dump: Some(folder.path().to_owned()),
        ..config::Recorder::default()
    });
    let mut life = Life::told(available(0.999), Arc::default(), dump_at_burn(&recorder));
    let files = || {
        let entries = std::fs::read_dir(folder.path()).expect("it can be read");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_whole = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "jsonl");
        paths.filter(is_whole).collect::<Vec<_>>()
    };
    life.live(HOUR - MINUTE, 90, 10);
    assert!(files().is_empty(), "the hour was not lived through");
    life.live(2 * MINUTE, 90, 10);
    let begun = std::time::Instant::now();
    while files().is_empty() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5)); // a thread of its own writes it
    }
    let text = std::fs::read_to_string(files().pop().expect("a dump")).expect("it can be read");
    assert!(
        text.contains("\"why\":\"the availability budget of web burns fast\""),
        "{text}"
    );
}
