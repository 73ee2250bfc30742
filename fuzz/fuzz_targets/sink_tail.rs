//! Arbitrary bytes as the file of a sink, as a crash, a power cut or another program may leave it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| b24relay::sink::fuzzing::tail(bytes));
