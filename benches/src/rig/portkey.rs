//! Portkey's gateway, from npm.

use super::cores::{self, MEASURED};
use super::installed::{self, Registry};
use super::peer::Peer;
use super::{Outcome, chat_body};
use coo_llm_tests::gateway::free_port;
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// What is installed.
pub const PACKAGE: &str = "@portkey-ai/gateway@1.15.2";

/// Starts it on the measured core.
///
/// # Errors
/// Where it cannot be installed or does not answer.
pub fn start(upstream: SocketAddr, model: &str) -> Outcome<Peer> {
    let folder = installed::folder(Registry::Node, "portkey", PACKAGE)?;
    let dir = TempDir::with_prefix("coo-llm-portkey-").map_err(|error| error.to_string())?;
    let port = free_port();
    let mut command = cores::command_on(MEASURED, "node");
    command
        .arg(folder.join("node_modules/@portkey-ai/gateway/build/start-server.js"))
        .arg(format!("--port={port}"))
        .arg("--headless")
        .env("NODE_ENV", "production");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // It has no configuration file: each request says where it goes.
    let headers = vec![
        ("x-portkey-provider", "openai".to_owned()),
        ("x-portkey-custom-host", format!("http://{upstream}/v1")),
    ];
    Peer::start(command, dir, addr, headers, &chat_body(model))
}
