//! The target `c_abi`; what it holds the engine to stands in the crate `tollbar-fuzz-targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tollbar_fuzz_targets::c_abi(data));
