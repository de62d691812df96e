//! Any text as a filter: it is read, and then prints as a text that reads back as the same, or it is refused with a column
//! that lies in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sightglass::telemetry::filter::Filter;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Filter::read(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            assert!(!printed.chars().any(char::is_control), "{printed}");
            match Filter::read(&printed) {
                Ok(again) => assert_eq!(again, filter),
                // Escapes and brackets may make it longer than a filter may be.
                Err(error) => assert!(
                    error.what.contains("at most"),
                    "{printed} is refused: {error}"
                ),
            }
        }
        Err(error) => {
            let most = text.chars().count() + 1;
            assert!((1..=most).contains(&error.column), "{error}");
            let caret = error.caret(text);
            let (line, caret) = caret.split_once('\n').expect("two lines");
            assert!(!line.chars().any(char::is_control));
            assert!(caret.chars().count() <= line.chars().count() + 1);
        }
    }
});
