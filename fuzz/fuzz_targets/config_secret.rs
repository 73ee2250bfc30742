//! Arbitrary text as a secret in the configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| b24relay::config::fuzzing::secret(bytes));
