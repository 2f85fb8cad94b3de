//! Any bytes: reading never panics, and what reads is printed, compactly and over several lines, as text that reads
//! back equal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use treering::edn;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match edn::read_all(text) {
        Ok(forms) => {
            for form in forms {
                for printed in [form.to_string(), edn::pretty(&form, 40)] {
                    match edn::read(&printed) {
                        Ok(again) => assert!(again == form, "{printed:?} reads as another form"),
                        Err(error) => panic!("{printed:?} does not read: {error}"),
                    }
                }
            }
        }
        Err(error) => {
            assert!(error.position().is_some(), "an error without a place: {error}");
            let _ = error.to_string();
        }
    }
});
