//! Whatever a crash, a power cut or somebody else left in the file of a sink.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| b24relay::sink::fuzzing::tail(bytes));
