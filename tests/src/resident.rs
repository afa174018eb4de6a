//! What a process has in memory.

use std::fs;

/// Bytes of a process that are in memory (`VmRSS`).
///
/// # Panics
/// If there is no such process, or the system is not Linux.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("Linux tells VmRSS in kB") * 1024
}
