//! A way to PostgreSQL on which answers get lost and requests come late.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What goes wrong next; each is counted down.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Commits that are carried out, but whose answer is lost with the connection.
    pub(super) lost_answers: AtomicU32,
    /// Commits that arrive when who asked for them has given up.
    pub(super) late_commits: AtomicU32,
}

/// How late a late commit is: later than a call's patience in these tests.
pub(super) const LATE: Duration = Duration::from_millis(4500);

fn take(n: &AtomicU32) -> bool {
    // Relaxed: a number that nothing else hangs on.
    n.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        .is_ok()
}

/// Starts one before a port; its own port.
pub(super) fn start(to: u16, plan: &Arc<Plan>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    let plan = Arc::clone(plan);
    std::thread::spawn(move || {
        // It ends with the process.
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
                continue;
            };
            let ends = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
            let Some((client_reads, server_writes)) = ends() else {
                continue;
            };
            let plans = [Arc::clone(&plan), Arc::clone(&plan)];
            let [up, down] = plans;
            std::thread::spawn(move || {
                carry(client_reads, server_writes, |bytes| {
                    if asks_to_commit(bytes) && take(&up.late_commits) {
                        std::thread::sleep(LATE);
                    }
                    true
                });
            });
            std::thread::spawn(move || {
                carry(server, client, |bytes| {
                    !(says_committed(bytes) && take(&down.lost_answers))
                });
            });
        }
    });
    port
}

fn asks_to_commit(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|part| part == b"COMMIT\0")
}

/// The tag of a command that was carried out: `C`, its length, `COMMIT`.
fn says_committed(bytes: &[u8]) -> bool {
    bytes.windows(12).any(|part| part == b"C\0\0\0\x0bCOMMIT\0")
}

fn carry(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 65536];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if !passes(&buffer[..n]) || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
