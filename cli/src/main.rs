//! The program `longshore`: a whole system on this machine (`up`), and a small client of the ECS API.

mod admin;
mod api;
mod args;
mod clock;
mod commands;
mod env_file;
mod error;
mod input;
mod out;
mod progress;
mod session;
mod settings;
mod table;
mod tls;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // One thread: children are told of their parent's death by the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::carry_out(args.command)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            if !error.is_broken_pipe() {
                out::note(format_args!("longshore: {error}"));
            }
            error.exit_code()
        }
    }
}
