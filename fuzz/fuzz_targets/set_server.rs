#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ripost_fuzz::set_the_server(bytes);
});
