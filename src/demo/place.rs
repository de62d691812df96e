//! Where the demo lives: a directory of its own, and ports that are free.
//!
//! The directory is made new, for this user alone, under a name that nobody can have prepared, and goes with its owner.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use super::DemoError;

/// The directory; removed with all that is in it when dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
}

/// Where the log begins anew. At 40 requests a second it takes most of an hour to get there.
const LARGEST_LOG: u64 = 64 << 20;
/// How many ports after the wished one are tried before the system picks.
const NEXT_PORTS: u16 = 20;

// === impl Place ===

impl Place {
    /// Makes the directory.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn create() -> Result<Self, DemoError> {
        let name = format!(
            "sightglass-demo-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let path = std::env::temp_dir().join(name);
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Not `create_dir_all`: a directory that is there already is somebody else's.
        match builder.create(&path) {
            Ok(()) => Ok(Self { path }),
            Err(cause) => Err(DemoError::Place { path, cause }),
        }
    }

    /// Where the proxy writes its access log.
    pub(super) fn access_log(&self) -> PathBuf {
        self.path.join("access.log")
    }

    /// Where it is written what is believed of services that speak TLS.
    pub(super) fn authorities(&self) -> PathBuf {
        self.path.join("authorities.pem")
    }

    /// Writes what is believed of services that speak TLS, where one does.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write_authorities(&self, pem: &str) -> Result<(), DemoError> {
        if pem.is_empty() {
            return Ok(());
        }
        let path = self.authorities();
        fs::write(&path, pem).map_err(|cause| DemoError::Place { path, cause })
    }

    /// Writes the proxy's configuration; its path.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write_configuration(&self, text: &str) -> Result<PathBuf, DemoError> {
        let path = self.path.join("demo.yaml");
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(cause) => Err(DemoError::Place { path, cause }),
        }
    }

    /// Empties the log when it is too large. The proxy appends to it, so that it goes on at the beginning.
    pub(super) fn keep_log_small(&self) {
        let log = OpenOptions::new().write(true).open(self.access_log());
        // A log that cannot be looked at now can be at the next look.
        let _ = log.and_then(|log| empty_when_over(&log, LARGEST_LOG));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // There is nobody left to tell; the system clears its temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn empty_when_over(file: &File, largest: u64) -> io::Result<()> {
    if file.metadata()?.len() > largest {
        file.set_len(0)?;
    }
    Ok(())
}

/// An address on loopback that nobody listens on: with the wished port or one of the next, else one that the system
/// picks. It is free now; where somebody else takes it before the proxy does, the proxy says so.
///
/// # Errors
/// Where the system has none.
pub(super) fn free_address(wished: u16) -> io::Result<SocketAddr> {
    let after = wished.saturating_add(NEXT_PORTS);
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let free = (wished..after).find_map(|port| bind(port).ok());
    match free {
        Some(listener) => listener.local_addr(),
        None => bind(0)?.local_addr(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_private_and_goes_with_its_owner() {
        let place = Place::create().expect("there is a temporary directory");
        let path = place.path.clone();
        let file = place.write_configuration("a: b").expect("it is writable");
        assert_eq!(fs::read_to_string(file).expect("it is there"), "a: b");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("it is there").permissions();
            assert_eq!(mode.mode() & 0o777, 0o700);
        }
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn a_log_over_the_limit_begins_anew() {
        let place = Place::create().expect("there is a temporary directory");
        fs::write(place.access_log(), [b'x'; 100]).expect("it is writable");
        let length = || fs::metadata(place.access_log()).expect("it is there").len();
        place.keep_log_small();
        assert_eq!(length(), 100);
        let log = OpenOptions::new().write(true).open(place.access_log());
        empty_when_over(&log.expect("it is there"), 99).expect("it is writable");
        assert_eq!(length(), 0);
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let port = taken.local_addr().expect("it is bound").port();
        let free = free_address(port).expect("another is free");
        assert_ne!(free.port(), port);
        assert!(free.ip().is_loopback());
    }
}
