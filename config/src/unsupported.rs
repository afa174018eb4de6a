//! What the schema has and this version does not: refused where it is asked for,
//! held back where it would be the default. Building a feature deletes its lines here.

use crate::config::Config;
use crate::reader::Reader;

/// Reports everything in the file that this version would otherwise ignore.
#[rustfmt::skip] // One line a feature, so that building it deletes one line.
pub(crate) fn refuse(config: &Config, reader: &Reader<'_>) {
    let given = |path: &str| reader.is_given(path);
    let refuse = |asked: bool, path: &str, what: &str, fix: &str| {
        if asked {
            reader.complain(path, format!("{what} not built in this version yet; {fix}"));
        }
    };
    let Config { server, .. } = config;

    refuse(server.webui.enabled && given("server.webui.enabled"), "server.webui.enabled", "the web UI is", "write false");
}

/// Takes back the defaults of INTERFACE.md that this version cannot keep, where the file does not ask for them.
#[rustfmt::skip]
pub(crate) fn hold_back_defaults(config: &mut Config, given: &dyn Fn(&str) -> bool) {
    if !given("server.webui.enabled") { config.server.webui.enabled = false; }
}
