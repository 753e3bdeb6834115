//! The `latchkey` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(latchkey::cli::main(end))
}

/// Ends the process when its runtime stands still, so that nothing else can.
#[expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "nothing can be drained by a runtime that stands still"
)]
fn end() {
    std::process::exit(1)
}
