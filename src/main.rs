//! Arguments, telemetry, command, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    b24relay::cli::main()
}
