//! The command line. A wrong call gives one line that says what and how to go on.

use crate::{audit, demo, export, reprice};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, value_parser};
use coo_llm_http::control::audit::Anchor;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Requests a second of the demo where none are named: enough to see curves move.
const RATE_DEFAULT: &str = "50";

/// More than one machine's loopback can carry.
const RATE_MAX: i64 = 1_000_000;

/// Subcommands of the schema that later versions have.
const NOT_YET: [&str; 1] = ["plan"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run the gateway.
    Serve { config: Option<PathBuf> },
    /// Run it on defaults, with load.
    Demo(demo::Options),
    /// Check a configuration.
    CheckConfig { config: Option<PathBuf> },
    /// Price records of the past anew.
    Reprice(reprice::Options),
    /// Write the history out.
    Export(export::Options),
    /// Check the audit trail.
    AuditVerify(audit::Options),
    /// Hash a password.
    HashPassword,
    /// Print a text: help or version.
    Print(String),
}

/// Reads the arguments, the program's name first.
///
/// # Errors
/// The line to show.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let args: Vec<OsString> = args.into_iter().collect();
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    if NOT_YET.contains(&first) {
        return Err(format!(
            "`{first}` is not in this version yet (see coo-llm --help)"
        ));
    }
    match program().try_get_matches_from(&args) {
        Ok(matches) => Ok(command(&matches)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Command::Print(error.to_string()))
            }
            _ => Err(explain(&error, first)),
        },
    }
}

fn program() -> clap::Command {
    let config = || {
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(
                "The configuration; default: ./coo-llm.yaml if present, else the built-in defaults",
            )
    };
    let rate = Arg::new("rate")
        .long("rate")
        .value_name("N")
        .default_value(RATE_DEFAULT)
        .value_parser(value_parser!(u32).range(1..=RATE_MAX))
        .help("Requests a second");
    let seconds = Arg::new("for")
        .long("for")
        .value_name("SECONDS")
        .value_parser(value_parser!(u64).range(1..))
        .help("Stop after so many seconds; default: run until stopped");
    let listen = Arg::new("listen")
        .long("listen")
        .value_name("ADDR")
        .value_parser(loopback)
        .help("A loopback address to listen on; default: 127.0.0.1:2906");
    clap::Command::new("coo-llm")
        .about("LLM gateway with a meter that can be trusted")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand(
            clap::Command::new("serve")
                .about("Run the gateway")
                .arg(config()),
        )
        .subcommand(
            clap::Command::new("demo")
                .about("Run the gateway on built-in defaults under a live, simulated load")
                .args([rate, seconds, listen]),
        )
        .subcommand(
            clap::Command::new("check-config")
                .about("Check a configuration and print every problem")
                .arg(config()),
        )
        .subcommand(
            clap::Command::new("audit")
                .about("Look after the audit trail of the admin API")
                .subcommand_required(true)
                .disable_help_subcommand(true)
                .subcommand(
                    clap::Command::new("verify")
                        .about("Check that no row was changed, removed, added or moved")
                        .args([config(), audit_file(), audit_anchor()]),
                ),
        )
        .subcommand(
            clap::Command::new("hash-password")
                .about("Read a password from stdin and print its argon2id hash"),
        )
        .subcommand(
            clap::Command::new("export")
                .about("Write the history of some time out, for bills and archives")
                .long_about(EXPORT)
                .args(export_args())
                .arg(config()),
        )
        .subcommand(
            clap::Command::new("reprice")
                .about("Price usage records of the past anew, by prices that have dates")
                .long_about(REPRICE)
                .args(reprice_args())
                .arg(config().conflicts_with("input")),
        )
        .after_help("Exit codes: 0 fine, 1 configuration or usage error, 2 could not start.")
}

fn audit_file() -> Arg {
    Arg::new("file")
        .long("file")
        .value_name("PATH")
        .value_parser(value_parser!(PathBuf))
        .conflicts_with("config")
        .help("The trail's folder, or one file of it; default: that of the configuration")
}

fn audit_anchor() -> Arg {
    Arg::new("anchor")
        .long("anchor")
        .value_name("ROW:HASH")
        .value_parser(|text: &str| {
            let wrong = "write a row's number and hash, as the log or `audit verify` says them";
            Anchor::parse(text.as_bytes()).ok_or(wrong)
        })
        .help("A row that was written down elsewhere, and must be in the trail")
}

/// What `export --help` says.
const EXPORT: &str = "\
Writes the history of some time out, for bills and archives: a row a client, route and bucket, at the \
width that is kept for its time. It reads the file as it is at one moment, whether the gateway runs or \
not; what came since its last flush is not in it. See docs/export.md.";

fn export_args() -> [Arg; 5] {
    let moment = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("T")
            .required(true)
            .value_parser(export::second)
    };
    [
        moment("from").help(
            "Rows from then on: unix seconds, RFC 3339 with its zone, or a date, which begins in UTC",
        ),
        moment("to").help("Rows before then"),
        Arg::new("format")
            .long("format")
            .value_name("csv|jsonl|parquet")
            .default_value("csv")
            .value_parser(|text: &str| {
                let known = export::Format::ALL.into_iter().find(|(name, _)| *name == text);
                let format = known.map(|(_, format)| format);
                format.ok_or("write csv, jsonl or parquet")
            })
            .help("How rows are written"),
        Arg::new("output")
            .long("output")
            .value_name("FILE")
            .default_value("-")
            .value_parser(value_parser!(PathBuf))
            .help("Where to; it appears when it is whole. - is stdout"),
        Arg::new("force")
            .long("force")
            .action(clap::ArgAction::SetTrue)
            .help("Replace the file that is there"),
    ]
}

/// What `reprice --help` says.
const REPRICE: &str = "\
Prices usage of the past anew, by prices that have dates.

With --input, records are NDJSON in the format of POST /ingest/v1/records. Each goes to stdout as it came, \
but for its cost_usd; the sums by model go to stderr. Without it the history is priced: a report by month, \
provider, model and client goes to stdout as CSV. The history knows sums of requests; what those do not \
tell is counted and keeps its cost. See docs/prices.md.";

fn reprice_args() -> [Arg; 7] {
    let file = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
    };
    let flag = |name: &'static str, help: &'static str| {
        let flag = Arg::new(name).long(name);
        flag.action(clap::ArgAction::SetTrue).help(help)
    };
    let moment = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("T")
            .value_parser(|text: &str| coo_llm_config::moment(text))
    };
    [
        file("table").required(true).help(
            "The prices: YAML of tables by date, or a .json file of LiteLLM's format, which holds always",
        ),
        moment("from").help("Records from then on: 2026-01-31 or 2026-01-31T12:00:00Z; default: all"),
        moment("to").help("Records before then; default: all"),
        file("input").help("The records; - is stdin. Default: the history of the configuration"),
        flag("write", "Give the history the new costs, while no gateway runs on it")
            .conflicts_with("input"),
        flag("leave-unclear", "Write also where some requests have no new cost and keep theirs")
            .requires("write"),
        flag(
            "assume-standard",
            "Take what the history does not tell as usual: the standard tier, short cache writes, known usage",
        )
        .conflicts_with("input"),
    ]
}

/// The demo makes its own admin key, so it must not be open to the network.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err("the demo listens on loopback addresses only".into()),
        Err(_) => Err(format!(
            "write an address such as {}",
            SocketAddr::from((Ipv4Addr::LOCALHOST, 2906))
        )),
    }
}

fn command(matches: &ArgMatches) -> Command {
    let config = |matches: &ArgMatches| matches.get_one::<PathBuf>("config").cloned();
    match matches.subcommand() {
        Some(("serve", matches)) => Command::Serve {
            config: config(matches),
        },
        Some(("check-config", matches)) => Command::CheckConfig {
            config: config(matches),
        },
        Some(("demo", matches)) => Command::Demo(demo::Options {
            rate: *matches.get_one("rate").expect("`rate` has a default"),
            seconds: matches.get_one("for").copied(),
            listen: matches.get_one("listen").copied(),
        }),
        Some(("export", matches)) => {
            let second = |name| matches.get_one::<u64>(name).copied();
            let output = matches.get_one::<PathBuf>("output").cloned();
            Command::Export(export::Options {
                from_s: second("from").expect("`from` is required"),
                to_s: second("to").expect("`to` is required"),
                format: *matches.get_one("format").expect("`format` has a default"),
                config: config(matches),
                output: output.filter(|path| path.as_os_str() != "-"),
                force: matches.get_flag("force"),
            })
        }
        Some(("reprice", matches)) => Command::Reprice(reprice::Options {
            table: matches
                .get_one::<PathBuf>("table")
                .expect("`table` is required")
                .clone(),
            from: matches.get_one("from").copied(),
            to: matches.get_one("to").copied(),
            input: matches.get_one::<PathBuf>("input").cloned(),
            config: config(matches),
            wish: reprice::Wish {
                write: matches.get_flag("write"),
                leave_unclear: matches.get_flag("leave-unclear"),
                are_standard: matches.get_flag("assume-standard"),
            },
        }),
        Some(("audit", matches)) => match matches.subcommand() {
            Some(("verify", matches)) => Command::AuditVerify(audit::Options {
                file: matches.get_one("file").cloned(),
                config: config(matches),
                anchor: matches.get_one("anchor").copied(),
            }),
            other => unreachable!("clap lets no other subcommand through: {other:?}"),
        },
        Some(("hash-password", _)) => Command::HashPassword,
        other => unreachable!("clap lets no other subcommand through: {other:?}"),
    }
}

/// One line about a wrong call.
fn explain(error: &clap::Error, first: &str) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::UnknownArgument => format!("unexpected argument '{argument}'"),
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("there is no command '{name}'")
        }
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
        ErrorKind::MissingSubcommand => "no command is given".into(),
        ErrorKind::InvalidValue if value.is_empty() => format!("'{argument}' needs a value"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| format!(": {why}"));
            format!(
                "'{value}' does not fit '{argument}'{}",
                why.unwrap_or_default()
            )
        }
        ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg) {
            Some(other) if other != argument => {
                format!("'{argument}' does not go with '{other}'")
            }
            _ => format!("'{argument}' is given twice"),
        },
        // Whatever else clap finds: its own first line.
        _ => {
            let whole = error.to_string();
            let line = whole.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    };
    let meant = text(ContextKind::SuggestedArg).or_else(|| text(ContextKind::SuggestedSubcommand));
    let hint = meant
        .map(|name| format!("; did you mean '{name}'?"))
        .unwrap_or_default();
    let is_command = program()
        .get_subcommands()
        .any(|command| command.get_name() == first);
    let help = if is_command {
        format!("coo-llm {first} --help")
    } else {
        "coo-llm --help".into()
    };
    // An argument may hold a line break; the answer is one line.
    format!("{what}{hint} (see {help})").replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<Command, String> {
        parse(
            std::iter::once("coo-llm")
                .chain(line.split_whitespace())
                .map(OsString::from),
        )
    }

    #[test]
    fn commands() {
        let file = Some(PathBuf::from("x.yaml"));
        assert_eq!(call("serve"), Ok(Command::Serve { config: None }));
        assert_eq!(
            call("serve --config x.yaml"),
            Ok(Command::Serve {
                config: file.clone()
            })
        );
        assert_eq!(
            call("check-config --config=x.yaml"),
            Ok(Command::CheckConfig { config: file })
        );
        assert_eq!(call("hash-password"), Ok(Command::HashPassword));
        let hash = "ab".repeat(32);
        let options = audit::Options {
            file: Some(PathBuf::from("x")),
            config: None,
            anchor: Anchor::parse(format!("7:{hash}").as_bytes()),
        };
        assert_eq!(
            call(&format!("audit verify --file x --anchor 7:{hash}")),
            Ok(Command::AuditVerify(options))
        );
        assert_eq!(
            call("audit verify"),
            Ok(Command::AuditVerify(audit::Options::default()))
        );
        let options = reprice::Options {
            table: PathBuf::from("t.yaml"),
            from: Some(coo_llm_core::UnixMillis(86_400_000)),
            to: None,
            input: Some(PathBuf::from("-")),
            config: None,
            wish: reprice::Wish::default(),
        };
        assert_eq!(
            call("reprice --table t.yaml --from 1970-01-02 --input -"),
            Ok(Command::Reprice(options.clone()))
        );
        let options = reprice::Options {
            input: None,
            config: Some(PathBuf::from("x.yaml")),
            wish: reprice::Wish {
                write: true,
                ..reprice::Wish::default()
            },
            ..options
        };
        assert_eq!(
            call("reprice --table t.yaml --from 1970-01-02 --config x.yaml --write"),
            Ok(Command::Reprice(options))
        );
        let options = export::Options {
            from_s: 86_400,
            to_s: 172_800,
            format: export::Format::Jsonl,
            config: None,
            output: None,
            force: false,
        };
        assert_eq!(
            call("export --from 1970-01-02 --to 172800 --format jsonl"),
            Ok(Command::Export(options.clone()))
        );
        let options = export::Options {
            format: export::Format::Csv,
            output: Some(PathBuf::from("x.csv")),
            force: true,
            ..options
        };
        assert_eq!(
            call("export --from 86400 --to 1970-01-03T01:00:00+01:00 --output x.csv --force"),
            Ok(Command::Export(options))
        );
        let options = demo::Options {
            rate: 50,
            seconds: None,
            listen: None,
        };
        assert_eq!(call("demo"), Ok(Command::Demo(options)));
        let options = demo::Options {
            rate: 9,
            seconds: Some(3),
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        };
        assert_eq!(
            call("demo --rate 9 --for 3 --listen 127.0.0.1:0"),
            Ok(Command::Demo(options))
        );
    }

    #[test]
    fn help_and_version_are_answers() {
        let print = |line: &str| match call(line) {
            Ok(Command::Print(text)) => text,
            other => unreachable!("{line}: {other:?}"),
        };
        assert_eq!(
            print("--version").trim_end(),
            format!("coo-llm {}", env!("CARGO_PKG_VERSION"))
        );
        let help = print("--help");
        for command in ["serve", "demo", "check-config", "export", "hash-password"] {
            assert!(help.contains(command), "{help}");
        }
        assert!(!help.contains("plan"), "{help}");
        assert!(print("serve --help").contains("--config <FILE>"));
    }

    #[test]
    fn a_wrong_call_gets_one_line() {
        for (line, want) in [
            ("", "no command is given (see coo-llm --help)"),
            (
                "serv",
                "there is no command 'serv'; did you mean 'serve'? (see coo-llm --help)",
            ),
            (
                "serve --confg x",
                "unexpected argument '--confg'; did you mean '--config'? (see coo-llm serve --help)",
            ),
            (
                "serve --config",
                "'--config <FILE>' needs a value (see coo-llm serve --help)",
            ),
            (
                "serve x",
                "unexpected argument 'x' (see coo-llm serve --help)",
            ),
            (
                "serve --config a --config b",
                "'--config <FILE>' is given twice (see coo-llm serve --help)",
            ),
            (
                "--prot 1",
                "unexpected argument '--prot' (see coo-llm --help)",
            ),
            (
                "demo --rate 0",
                "'0' does not fit '--rate <N>': 0 is not in 1..=1000000 (see coo-llm demo --help)",
            ),
            (
                "demo --for x",
                "'x' does not fit '--for <SECONDS>': invalid digit found in string (see coo-llm demo --help)",
            ),
            (
                "demo --listen 0.0.0.0:1",
                "'0.0.0.0:1' does not fit '--listen <ADDR>': the demo listens on loopback addresses only (see coo-llm demo --help)",
            ),
            (
                "audit verify --anchor 7",
                "'7' does not fit '--anchor <ROW:HASH>': write a row's number and hash, as the log or `audit verify` says them (see coo-llm audit --help)",
            ),
            (
                "plan --json",
                "`plan` is not in this version yet (see coo-llm --help)",
            ),
            (
                "reprice --input x",
                "--table <FILE> is missing (see coo-llm reprice --help)",
            ),
            (
                "reprice --table x --from soon",
                "'soon' does not fit '--from <T>': is not a moment in UTC, such as 2026-01-31 or 2026-01-31T12:00:00Z (see coo-llm reprice --help)",
            ),
            (
                "export --from 2026-01-01 --to 2026-02-01 --format xml",
                "'xml' does not fit '--format <csv|jsonl|parquet>': write csv, jsonl or parquet (see coo-llm export --help)",
            ),
            (
                "plan",
                "`plan` is not in this version yet (see coo-llm --help)",
            ),
        ] {
            assert_eq!(call(line), Err(want.into()), "{line}");
        }
    }
}
