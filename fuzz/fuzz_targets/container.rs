#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| leasepipe_fuzz::container(bytes));
