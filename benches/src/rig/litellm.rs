//! LiteLLM's proxy, from PyPI.

use super::cores::{self, MEASURED};
use super::installed::{self, Registry};
use super::peer::Peer;
use super::{CLIENT_KEY, Outcome, PROVIDER_KEY, chat_body};
use coo_llm_tests::gateway::free_port;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// What is installed; 1.82.7, 1.82.8 and 1.107.* were reported to be malicious.
pub const PACKAGE: &str = "litellm[proxy]==1.106.2";

/// Starts it with one worker process on the measured core.
///
/// # Errors
/// Where it cannot be installed or does not answer.
pub fn start(upstream: SocketAddr, model: &str) -> Outcome<Peer> {
    let folder = installed::folder(Registry::Python, "litellm", PACKAGE)?;
    let dir = TempDir::with_prefix("coo-llm-litellm-").map_err(|error| error.to_string())?;
    let port = free_port();
    let file = dir.path().join("litellm.yaml");
    let config = format!(
        "model_list:\n- model_name: {model}\n  litellm_params: {{ model: openai/{model}, \
         api_base: \"http://{upstream}/v1\", api_key: {PROVIDER_KEY} }}\n\
         general_settings: {{ master_key: {CLIENT_KEY} }}\n\
         litellm_settings: {{ telemetry: false, set_verbose: false }}\n"
    );
    fs::write(&file, config).map_err(|error| error.to_string())?;
    let program = folder.join("bin/litellm");
    let mut command = cores::command_on(MEASURED, &program.to_string_lossy());
    command.arg("--config").arg(&file).args([
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--num_workers",
        "1",
    ]);
    // Prices from the package instead of the network, and no line a request.
    command
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LITELLM_LOG", "ERROR");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Peer::start(command, dir, addr, Vec::new(), &chat_body(model))
}
