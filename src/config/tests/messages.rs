//! What is told of each mistake, word by word: `testdata/messages.txt`.
//!
//! A line there that is not indented is a piece of a configuration after the section that it goes into; the indented
//! lines below it are what is told of it, none where it is right.

use super::{Sketch, assert_as_in, told};

const FILE: &str = include_str!("../testdata/messages.txt");

fn told_of(case: &str) -> Vec<String> {
    let (section, piece) = case.split_once(' ').unwrap_or((case, ""));
    let sketch = Sketch::default();
    match section {
        "listener" => Sketch {
            listener: piece,
            ..sketch
        }
        .told(),
        "route" => Sketch {
            route: piece,
            ..sketch
        }
        .told(),
        "upstream" => Sketch {
            upstream: piece,
            ..sketch
        }
        .told(),
        "rest" => Sketch {
            rest: piece,
            ..sketch
        }
        .told(),
        _ => told(&piece.replace("\\n", "\n").replace("\\t", "\t")),
    }
}

#[test]
fn each_mistake_is_told_in_these_words() {
    let mut written = String::new();
    for case in FILE.lines().filter(|line| !line.starts_with(' ')) {
        written.push_str(case);
        written.push('\n');
        for line in told_of(case) {
            written.push_str("    ");
            written.push_str(&line);
            written.push('\n');
        }
    }
    assert_as_in("messages.txt", FILE, &written);
}
