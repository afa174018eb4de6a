//! The `coo-llm` binary: reads the command line and hands over to one file a subcommand.

mod check_config;
mod cli;
mod config_file;
mod demo;
mod exit;
mod hash_password;
// The lint tells when to remove this.
#[expect(
    dead_code,
    reason = "serve and demo install it, and are not in this build yet"
)]
mod logging;
mod say;
mod serve;

use cli::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve { config }) => match config_file::load(config.as_deref()) {
            Ok((_, config)) => serve::run(config),
            Err(problems) => config_file::refuse(&problems),
        },
        Ok(Command::Demo(options)) => demo::run(options),
        Ok(Command::CheckConfig { config }) => check_config::run(config.as_deref()),
        Ok(Command::HashPassword) => hash_password::run(),
        Ok(Command::Print(text)) => {
            say::answer(text.trim_end());
            exit::FINE
        }
        Err(line) => {
            say::complain(line);
            exit::usage()
        }
    }
}
