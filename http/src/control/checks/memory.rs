//! The process's memory, and what its control group may have.

use super::report::{Check, Memory, Status};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Above this part of the limit the system may soon end the process.
const PART_MAX: f64 = 0.9;
const CGROUPS: &str = "/sys/fs/cgroup";

pub(super) fn check() -> Memory {
    let began = Instant::now();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let (rss_bytes, limit_bytes) = (resident(&status), limit(&group));
    let (status, detail) = judge(rss_bytes, limit_bytes);
    Memory {
        check: Check::new(status, began.elapsed(), detail),
        rss_bytes,
        limit_bytes,
    }
}

fn judge(rss: Option<u64>, limit: Option<u64>) -> (Status, String) {
    let mib = |bytes: u64| bytes >> 20;
    match (rss, limit) {
        (None, _) => (Status::Ok, "the system does not say".to_owned()),
        (Some(rss), None) => (Status::Ok, format!("{} MiB, without a limit", mib(rss))),
        (Some(rss), Some(limit)) => {
            let is_near = rss as f64 > PART_MAX * limit as f64;
            let status = if is_near {
                Status::Degraded
            } else {
                Status::Ok
            };
            (status, format!("{} of {} MiB", mib(rss), mib(limit)))
        }
    }
}

/// `VmRSS` of proc(5).
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least `memory.max` of the group (version 2) and those around it.
fn limit(group: &str) -> Option<u64> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut folder = PathBuf::from(CGROUPS);
    // In a container the path may be the host's: then what is mounted is the group itself.
    let inner = folder.join(path);
    if inner.is_dir() {
        folder = inner;
    }
    let groups = folder.ancestors().take_while(|at| at.starts_with(CGROUPS));
    groups.filter_map(max_of).min()
}

fn max_of(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join("memory.max")).ok()?;
    // `max` is none.
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_its_limit_it_is_degraded() {
        assert_eq!(judge(Some(90 << 20), Some(100 << 20)).0, Status::Ok);
        let (status, detail) = judge(Some(91 << 20), Some(100 << 20));
        assert_eq!(
            (status, detail.as_str()),
            (Status::Degraded, "91 of 100 MiB")
        );
        assert_eq!(judge(Some(1), None).0, Status::Ok);
        assert_eq!(judge(None, Some(1)).0, Status::Ok);
        assert_eq!(
            resident("VmHWM:\t 9 kB\nVmRSS:\t  12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(resident("VmRSS:\t 12 MB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_how_much_it_is() {
        assert!(check().rss_bytes.is_some_and(|bytes| bytes > 1 << 20));
    }
}
