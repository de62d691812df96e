//! `/metrics`: the page that Prometheus scrapes, in the format that it asks for.

use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue, VARY};

use super::Sources;
use super::reply::{self, Reply};

/// The page. Blocks for milliseconds where there are many series.
pub(super) fn page(sources: &Sources, headers: &HeaderMap) -> Reply {
    let accept: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .collect();
    let (content_type, page) = sources.scraper.page(&accept.join(","));
    let mut reply = reply::of(content_type, page);
    reply
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    reply
}
