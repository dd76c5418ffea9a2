//! Any bytes as a file of training data. See `../README.md`.
#![cfg_attr(feature = "libfuzzer", no_main)]

use eosin_fuzz::Target;

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Target::Rows.run(bytes.to_vec().into());
});

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    eosin_fuzz::replay(Target::Rows);
}
