//! nginx as a plain reverse proxy: the bar for what proxying costs.

use super::Outcome;
use super::cores::{self, MEASURED};
use super::process::Process;
use coo_llm_tests::gateway::free_port;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_MAX: Duration = Duration::from_secs(10);

/// A running nginx with one process.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it passes on what comes as it comes.
    pub streams: SocketAddr,
    /// Its process: `master_process off`, so it is the worker too.
    pub process: Process,
    _dir: TempDir,
}

fn config(port: u16, streams: u16, upstream: &str, folder: &str) -> String {
    format!(
        r"daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream llm {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://llm;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
    }}
  }}
  server {{
    listen 127.0.0.1:{streams};
    location / {{
      proxy_pass http://llm;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_buffering off;
    }}
  }}
}}
"
    )
}

impl Nginx {
    /// Starts it on the measured core, in front of `upstream` (host:port).
    ///
    /// # Errors
    /// Where nginx is missing or does not start.
    pub fn start(upstream: &str) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("nginx's folder: {error}");
        let dir = TempDir::with_prefix("coo-llm-nginx-").map_err(failed)?;
        let (port, streams) = (free_port(), free_port());
        let file = dir.path().join("nginx.conf");
        let text = config(port, streams, upstream, &dir.path().to_string_lossy());
        fs::write(&file, text).map_err(failed)?;
        let mut command = cores::command_on(MEASURED, "/usr/sbin/nginx");
        command
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Process::start(&mut command)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(addr).is_err() {
            let ended = process.child().try_wait();
            if !matches!(ended, Ok(None)) || Instant::now() > deadline {
                let log = fs::read_to_string(dir.path().join("error.log"));
                return Err(format!("nginx does not start: {log:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            addr,
            streams: SocketAddr::from((Ipv4Addr::LOCALHOST, streams)),
            process,
            _dir: dir,
        })
    }
}
