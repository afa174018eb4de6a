//! `coo-llm serve`.

use crate::{exit, say};
use coo_llm_config::Config;
use std::process::ExitCode;

/// Runs the gateway.
#[expect(clippy::needless_pass_by_value, reason = "the running gateway owns it")]
pub(crate) fn run(config: Config) -> ExitCode {
    say::complain(format_args!(
        "serve on {} is not in this build yet",
        config.server.listen
    ));
    exit::cannot_start()
}
