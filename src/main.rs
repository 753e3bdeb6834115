//! The `latchkey` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    latchkey::cli::main(latchkey::app::as_is, || std::process::exit(1))
}
