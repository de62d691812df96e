//! What stderr tells, changed for a while: one target at another level, which goes back by itself.
//!
//! What the start has settled (`SIGHTGLASS_LOG`) stays the base; changes lie on top of it, at most 32 at once, each with its
//! end. A change of a target that is changed already takes the place of the first. Only lines on stderr are moved by it:
//! what goes to a collector stays what it was. A disabled `debug!` costs what it cost, one relaxed load: `tracing` caches
//! per call site what the filter says, and asks it anew only when it has changed.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::event::{Event, emit};

/// The levels of what stderr tells.
pub struct LogLevels {
    base: Targets,
    /// Puts another filter in force.
    reload: Box<dyn Fn(Targets) + Send + Sync>,
    /// Where changes are ended.
    control: Handle,
    changed: Mutex<Vec<Changed>>,
}

/// A target at another level for a while.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The target: a module's path, and all below it.
    pub target: Box<str>,
    /// The level.
    pub level: LogLevel,
    /// Until when.
    pub until: SystemTime,
    /// Who asked.
    pub who: IpAddr,
    ending: AbortHandle,
}

/// A level of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(LevelFilter);

/// There are as many changes as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_CHANGED} targets are changed already; one of them has to go back first")]
pub struct TooManyChanged;

/// The most targets that are changed at once.
const MAX_CHANGED: usize = 32;

// === impl LogLevels ===

impl LogLevels {
    pub(super) fn new(
        base: Targets,
        reload: Box<dyn Fn(Targets) + Send + Sync>,
        control: &Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            base,
            reload,
            control: control.clone(),
            changed: Mutex::default(),
        })
    }

    /// One that moves nothing, for tests of other rooms; a change needs a runtime and finds none.
    #[cfg(test)]
    pub(crate) fn detached() -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("the system gives a runtime");
        Self::new(Targets::new(), Box::new(|_| {}), runtime.handle())
    }

    /// Tells this target at this level for so long, and says who asked.
    ///
    /// # Errors
    /// Where too many are changed.
    pub fn change(
        self: &Arc<Self>,
        target: &str,
        level: LogLevel,
        lasts: Duration,
        who: IpAddr,
    ) -> Result<(), TooManyChanged> {
        let mut changed = self.lock();
        if let Some(at) = changed.iter().position(|it| *it.target == *target) {
            changed.swap_remove(at).ending.abort();
        } else if changed.len() == MAX_CHANGED {
            return Err(TooManyChanged);
        }
        let (levels, name) = (Arc::downgrade(self), target.to_owned());
        let ending = self.control.spawn(async move {
            tokio::time::sleep(lasts).await;
            if let Some(levels) = levels.upgrade() {
                levels.put_back(&name);
            }
        });
        changed.push(Changed {
            target: target.into(),
            level,
            until: SystemTime::now() + lasts,
            who,
            ending: ending.abort_handle(),
        });
        self.apply(&changed);
        drop(changed);
        emit(Event::LogLevelChanged {
            target: target.to_owned(),
            level: level.as_str(),
            lasts,
            who,
        });
        Ok(())
    }

    /// What is changed now.
    #[must_use]
    pub fn changed(&self) -> Vec<Changed> {
        self.lock().clone()
    }

    /// What the start has settled, as `SIGHTGLASS_LOG` has it.
    #[must_use]
    pub fn base(&self) -> String {
        self.base.to_string()
    }

    fn put_back(&self, target: &str) {
        let mut changed = self.lock();
        changed.retain(|it| *it.target != *target);
        self.apply(&changed);
        drop(changed);
        emit(Event::LogLevelReturned {
            target: target.to_owned(),
        });
    }

    fn apply(&self, changed: &[Changed]) {
        let levels = changed.iter().map(|it| (it.target.to_string(), it.level.0));
        (self.reload)(self.base.clone().with_targets(levels));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Changed>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogLevels").finish_non_exhaustive()
    }
}

// === impl LogLevel ===

impl LogLevel {
    /// The words for all levels, the quietest first.
    pub const WORDS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

    const LEVELS: [LevelFilter; 6] = [
        LevelFilter::OFF,
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];

    /// The level of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        Self::LEVELS.get(at).copied().map(Self)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let at = Self::LEVELS.iter().position(|level| *level == self.0);
        at.and_then(|at| Self::WORDS.get(at)).unwrap_or(&"off")
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tracing::Level;

    use super::*;

    const WHO: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    type InForce = Arc<Mutex<Targets>>;

    fn levels() -> (Arc<LogLevels>, InForce) {
        let base: Targets = "warn,sightglass=info".parse().expect("targets");
        let in_force = InForce::new(Mutex::new(base.clone()));
        let seen = Arc::clone(&in_force);
        let reload = Box::new(move |filter| *seen.lock().expect("no panic") = filter);
        (LogLevels::new(base, reload, &Handle::current()), in_force)
    }

    fn tells(in_force: &InForce, target: &str, level: Level) -> bool {
        in_force
            .lock()
            .expect("no panic")
            .would_enable(target, &level)
    }

    #[tokio::test]
    async fn a_target_goes_back_by_itself_and_the_rest_stays() {
        let (levels, in_force) = levels();
        let debug = LogLevel::of("debug").expect("a level");
        let upstream = "sightglass::upstream";
        let hour = Duration::from_secs(3600);
        assert_eq!(levels.change(upstream, debug, hour, WHO), Ok(()));
        assert!(tells(&in_force, "sightglass::upstream::pool", Level::DEBUG));
        assert!(!tells(&in_force, "sightglass::server", Level::DEBUG));
        // Asked again it takes the place of the first.
        let soon = Duration::from_millis(20);
        assert_eq!(levels.change(upstream, debug, soon, WHO), Ok(()));
        assert_eq!(levels.changed().len(), 1);
        while !levels.changed().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!tells(&in_force, upstream, Level::DEBUG));
        assert!(tells(&in_force, upstream, Level::INFO));
    }

    #[tokio::test]
    async fn what_is_changed_at_once_is_bounded() {
        let (levels, _) = levels();
        let off = LogLevel::of("off").expect("a level");
        let hour = Duration::from_secs(3600);
        for number in 0..MAX_CHANGED {
            assert_eq!(levels.change(&format!("t{number}"), off, hour, WHO), Ok(()));
        }
        assert_eq!(levels.change("more", off, hour, WHO), Err(TooManyChanged));
        assert_eq!(
            levels.change("t7", off, hour, WHO),
            Ok(()),
            "in its own place"
        );
    }

    #[test]
    fn every_word_is_a_level_and_back() {
        for word in LogLevel::WORDS {
            assert_eq!(LogLevel::of(word).map(LogLevel::as_str), Some(word));
        }
        for word in ["", "Debug", "verbose", "5"] {
            assert_eq!(LogLevel::of(word), None, "{word}");
        }
    }
}
