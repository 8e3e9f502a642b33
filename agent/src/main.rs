//! The program `longshore-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore_agent::commands::main()
}
