//! The `coo-llm` binary: reads the command line and hands over to one file a subcommand.

mod audit;
mod check_config;
mod cli;
mod config_file;
mod demo;
mod exit;
mod export;
mod gateway;
mod hash_password;
mod keys;
mod logging;
mod reprice;
mod say;
mod serve;
mod signals;

use cli::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve { config }) => match config_file::load(config.as_deref()) {
            Ok((source, document)) => serve::run(document, config, source == config_file::BUILTIN),
            Err(problems) => config_file::refuse(&problems),
        },
        Ok(Command::Demo(options)) => demo::run(options),
        Ok(Command::AuditVerify(options)) => audit::run(&options),
        Ok(Command::CheckConfig { config }) => check_config::run(config.as_deref()),
        Ok(Command::Export(options)) => export::run(&options),
        Ok(Command::Reprice(options)) => reprice::run(&options),
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
