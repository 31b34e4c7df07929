//! The command people use; see `conformance::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance::cli::main()
}
