//! `coo-llm check-config`: every problem of a configuration on stdout, their number on stderr.

use crate::gateway::price_file;
use crate::{config_file, exit, say};
use coo_llm_config::Config;
use coo_llm_core::UnixMillis;
use coo_llm_http::ServerTls;
use coo_llm_http::control::Rights;
use coo_llm_http::control::clients::{ClientStore, Roster};
use std::path::Path;
use std::process::ExitCode;

/// Checks the file.
pub(crate) fn run(file: Option<&Path>) -> ExitCode {
    match config_file::load(file) {
        Ok((source, document)) => {
            let config = document.config;
            // The files themselves are not the schema's, but `serve` would refuse them.
            if let Some(Err(error)) = config.server.tls.as_ref().map(ServerTls::load) {
                say::answer(format_args!("{source}: {error}"));
                say::complain(format_args!("{source}: 1 problem"));
                return exit::usage();
            }
            if let Err(error) = Rights::new(&config.server) {
                say::answer(format_args!("{source}: {error}"));
                say::complain(format_args!("{source}: 1 problem"));
                return exit::usage();
            }
            match merged(&config) {
                Ok(notes) => notes.iter().for_each(say::answer),
                Err(error) => {
                    say::answer(format_args!("{source}: {error}"));
                    say::complain(format_args!("{source}: 1 problem"));
                    return exit::usage();
                }
            }
            if let Some(path) = &config.prices {
                match price_file::read(path) {
                    Ok(table) => {
                        let (priced, unpriced) = table.counts();
                        say::answer(format_args!(
                            "{}: ok; entries with a price for tokens {priced}, without {unpriced}; hash {}",
                            path.display(),
                            table.hash(),
                        ));
                    }
                    Err(error) => {
                        say::answer(format_args!("{}: {error}", path.display()));
                        say::complain(format_args!("{source}: prices: the file cannot be used"));
                        return exit::usage();
                    }
                }
            }
            say::answer(format_args!(
                "{source}: ok; listen {}, providers {}, model aliases {}, clients {}",
                config.server.listen,
                config.providers.len(),
                config.aliases.len(),
                config.clients.len(),
            ));
            exit::FINE
        }
        Err(problems) => {
            for line in problems.lines() {
                say::answer(line);
            }
            match problems.list.len() {
                1 => say::complain(format_args!("{}: 1 problem", problems.file)),
                count => say::complain(format_args!("{}: {count} problems", problems.file)),
            }
            exit::usage()
        }
    }
}

/// What the clients of the admin API make of those of the file, a line each.
fn merged(config: &Config) -> Result<Vec<String>, String> {
    let Some(folder) = &config.server.data_dir else {
        return Ok(Vec::new());
    };
    let kept = ClientStore::peek(folder).map_err(|error| error.to_string())?;
    let roster = Roster::new(kept, config, UnixMillis(0));
    let roster = roster.map_err(|problems| problems.join("; "))?;
    Ok(roster.notes(config))
}
