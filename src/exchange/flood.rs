//! The kinds of HTTP/2 frames that cost their sender nothing: what a client sent too much of.

/// A kind of HTTP/2 frame of which a client sent too many; the `kind` of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flood {
    /// PING.
    Ping,
    /// SETTINGS.
    Settings,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// PRIORITY, and frames of types that nobody knows: they are to be ignored, but not for ever.
    Ignored,
    /// DATA without data.
    EmptyData,
    /// Streams that were opened and reset.
    RapidReset,
    /// GOAWAY and PUSH_PROMISE.
    Other,
}

// === impl Flood ===

impl Flood {
    /// The word: the `reason` of the connection's error.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "http2_ping_flood",
            Self::Settings => "http2_settings_flood",
            Self::WindowUpdate => "http2_window_update_flood",
            Self::Ignored => "http2_ignored_flood",
            Self::EmptyData => "http2_empty_data_flood",
            Self::RapidReset => "http2_rapid_reset",
            Self::Other => "http2_other_flood",
        }
    }
}
