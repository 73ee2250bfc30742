//! Arbitrary bytes as a receiver's answer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| b24relay::sink::fuzzing::answer(bytes));
