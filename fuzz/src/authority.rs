//! The filter for drivers up to 1.5 under a fuzzer that watches which code an input reaches.
//!
//! It compiles the filter's own file and the tests' laws, and nothing else of Latchkey.
#![no_main]

extern crate self as latchkey;

#[path = "../../src/serve/authority.rs"]
pub mod authority;
/// As in the crate.
pub mod serve {
    pub use crate::authority;
}
#[path = "../../tests/it/authority/law.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // The first byte tells how the rest is cut, so that the fuzzer finds cuts that matter.
    let Some((&seed, stream)) = input.split_first() else { return };
    let mut state = u32::from(seed);
    let cut = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize % (1 + usize::from(seed))
    };
    law::holds(stream, cut);
});
