//! A browser that looks at pages as a person does, and says what it saw.
//!
//! With `SIGHTGLASS_PICTURES` set to a folder the pictures of whatever is looked at are left there; `docs/pictures` comes
//! from it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Chromium, node_with, output};

const LOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/partners/node/look.cjs");

/// A Chromium, and the Node that leads it.
pub(crate) struct Eyes {
    node: PathBuf,
    tools: String,
    folder: TempDir,
    _browser: Chromium,
}

/// A page that is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// What its picture is called.
    pub(crate) name: String,
    pub(crate) url: String,
    /// Of the window, in pixels.
    pub(crate) size: (u32, u32),
    pub(crate) is_dark: bool,
    /// What holds once it is drawn.
    pub(crate) wait: String,
    /// What is clicked on then, one after the other.
    pub(crate) clicks: Vec<Click>,
    /// How often Tab is pressed then.
    pub(crate) keys: u32,
    /// An expression whose value is told as `also`; it may be a promise, and ask `isLive(element)`.
    pub(crate) also: Option<String>,
}

/// A click.
#[derive(Clone, Debug)]
pub(crate) struct Click {
    /// On what: a CSS selector.
    pub(crate) on: String,
    /// What holds once its effect is there.
    pub(crate) wait: String,
}

/// Where pictures are to be left, if they are.
pub(crate) fn pictures() -> Option<PathBuf> {
    std::env::var_os("SIGHTGLASS_PICTURES").map(PathBuf::from)
}

// === impl Eyes ===

impl Eyes {
    /// None where a browser, a Node or its modules are missing.
    pub(crate) fn open() -> Option<Self> {
        let node = node_with(&["ws", "axe-core"])?;
        let (browser, tools) = Chromium::with_dev_tools()?;
        Some(Self {
            node,
            tools,
            folder: TempDir::new().expect("a temporary directory can be made"),
            _browser: browser,
        })
    }

    /// What is seen of each page: `name`, `text`, `console`, `hosts` that were asked, how many elements are `live` that
    /// should not be, `violations` that axe-core finds, and so on.
    ///
    /// # Panics
    /// Where a page is not drawn, with what stands on it instead.
    pub(crate) fn look(&self, looks: &[Look]) -> Vec<Value> {
        let to = pictures();
        let plan: Value = looks.iter().map(|it| it.plan(to.as_deref())).collect();
        let file = self.folder.path().join("plan.json");
        std::fs::write(&file, plan.to_string()).expect("it can be written");
        let mut look = Command::new(&self.node);
        look.arg(LOOK).arg(&self.tools).arg(&file);
        serde_json::from_str(&output(&mut look)).expect("JSON")
    }
}

// === impl Look ===

impl Look {
    fn plan(&self, pictures: Option<&Path>) -> Value {
        let clicks = self
            .clicks
            .iter()
            .map(|it| json!({"on": it.on, "wait": it.wait}));
        json!({
            "name": self.name, "url": self.url, "width": self.size.0, "height": self.size.1, "dark": self.is_dark,
            "wait": self.wait, "clicks": clicks.collect::<Value>(), "keys": self.keys, "also": self.also,
            "picture": pictures.map(|to| to.join(format!("{}.png", self.name))),
        })
    }
}
