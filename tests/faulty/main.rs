//! The agent as it is, with one thing around every store: entries below `fault/` fail, hang, panic and block on
//! demand. Everything else is the program that is shipped.

#[path = "../it/support/faulty.rs"]
mod faulty;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(latchkey::cli::run(faulty::around, end))
}

#[expect(clippy::disallowed_methods, clippy::exit, reason = "as the program that is shipped does it")]
fn end() {
    std::process::exit(1)
}
