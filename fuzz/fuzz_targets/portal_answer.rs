//! Arbitrary bytes as a portal's answer.
#![no_main]

use b24relay::chat::Chat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for event in b24relay::event::fuzzing::answer(bytes) {
        let _chat = Chat::of(&event);
        let _date = event.date_ms();
    }
});
