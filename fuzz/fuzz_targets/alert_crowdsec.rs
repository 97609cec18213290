#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ripost_fuzz::alert("crowdsec", bytes);
});
