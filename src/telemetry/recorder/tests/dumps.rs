//! What a dump holds, how many are kept, and what goes wrong with them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("sightglass-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("created");
        Self(path)
    }

    fn recorder(&self) -> Arc<Recorder> {
        Recorder::new(&config::Recorder {
            dump: Some(self.0.clone()),
            ..config::Recorder::default()
        })
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("it can be read");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_dump_holds_every_exchange_once_after_a_head() {
    let folder = Folder::new("dump");
    let recorder = folder.recorder();
    let plan = Arc::new(plan(&["checkout"]));
    keep(&recorder, &plan, failed(0, 0..700));
    keep(&recorder, &plan, numbered(0, 700..1_500));
    let dumped = recorder.dump_now("asked for by a test").expect("written");
    assert_eq!(dumped.exchanges, 1_500);
    let text = std::fs::read_to_string(&dumped.file).expect("it is there");
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let head = lines.next().expect("a head");
    assert_eq!(head["sightglass_recorder"], 1);
    assert_eq!(
        (&head["why"], &head["config_hash"]),
        (&"asked for by a test".into(), &"abc123".into())
    );
    let numbers: BTreeSet<u64> = lines
        .map(|it| it["connection"].as_u64().expect("a number"))
        .collect();
    assert!(numbers.into_iter().eq(0..1_500));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&dumped.file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn ten_dumps_are_kept_and_what_was_left_half_goes() {
    let folder = Folder::new("ten");
    let recorder = folder.recorder();
    for year in 2000..2014 {
        let name = format!("sightglass-recorder-{year}0101T000000.000Z.jsonl");
        std::fs::write(folder.0.join(name), "old").expect("written");
    }
    let half = "sightglass-recorder-20200101T000000.000Z.jsonl.part";
    for name in [half, "somebody-elses.jsonl"] {
        std::fs::write(folder.0.join(name), "").expect("written");
    }
    recorder.dump_now("test").expect("written");
    let files = folder.files();
    assert_eq!(files.len(), 11, "{files:?}");
    assert!(files.contains(&"somebody-elses.jsonl".to_owned()));
    assert!(
        files[0].contains("2005") && !files.contains(&half.to_owned()),
        "{files:?}"
    );
}

#[test]
fn the_process_dumps_by_itself_at_most_every_ten_minutes() {
    let folder = Folder::new("pause");
    let recorder = folder.recorder();
    for _ in 0..5 {
        recorder.dump("the budget burns".to_owned());
    }
    let written = || folder.files().iter().any(|name| name.ends_with(".jsonl"));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !written() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(folder.files().len(), 1);
    recorder.dump("again".to_owned());
    // The first has its name already, but may still be removing old ones.
    let asked = || recorder.dump_now("who asks need not wait");
    let dumped = std::iter::repeat_with(asked).find(|it| !matches!(it, Err(DumpError::Busy)));
    dumped.expect("an end").expect("written");
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn a_folder_that_is_not_there_costs_the_dump_alone() {
    let folder = Folder::new("gone");
    let recorder = folder.recorder();
    std::fs::remove_dir_all(&folder.0).expect("removed");
    let error = recorder.dump_now("test").expect_err("there is no folder");
    assert!(error.to_string().starts_with("cannot write "), "{error}");
    std::fs::create_dir_all(&folder.0).expect("created");
    recorder.dump_now("test").expect("it works again");
    let none = super::Recorder::new(&config::Recorder::default());
    assert!(matches!(none.dump_now("test"), Err(DumpError::NoFolder)));
}
