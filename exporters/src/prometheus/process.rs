//! `process_*`: the process as the kernel sees it, under the names of all Prometheus clients.

use super::extra::{Extra, Kind, Value};
use coo_llm_core::Micros;
use std::fs;

/// Microseconds in a tick of `/proc`: USER_HZ is 100 on every Linux ABI that Rust knows.
const TICK_US: u64 = 10_000;

/// The `process_*` families. What the system does not tell is left out, never 0.
#[must_use]
pub fn families() -> Vec<Extra> {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").ok();
    let boot_secs = boot
        .as_deref()
        .and_then(|text| field(text, "btime ")?.parse::<u64>().ok());
    let start = stat.zip(boot_secs).map(|(stat, boot_secs)| {
        Micros(boot_secs * 1_000_000 + stat.start_ticks.saturating_mul(TICK_US))
    });
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let known = [
        (
            Kind::Counter,
            "process_cpu_seconds",
            "User and system CPU time spent.",
            stat.map(|stat| Value::Seconds(Micros(stat.cpu_ticks.saturating_mul(TICK_US)))),
        ),
        (
            Kind::Gauge,
            "process_resident_memory_bytes",
            "Resident memory size.",
            kib(&status, "VmRSS:").map(Value::Count),
        ),
        (
            Kind::Gauge,
            "process_virtual_memory_bytes",
            "Virtual memory size.",
            kib(&status, "VmSize:").map(Value::Count),
        ),
        (
            Kind::Gauge,
            "process_open_fds",
            "Open file descriptors.",
            open_fds().map(Value::Count),
        ),
        (
            Kind::Gauge,
            "process_max_fds",
            "Most file descriptors that may be open.",
            max_fds(&limits).map(Value::Count),
        ),
        (
            Kind::Gauge,
            "process_start_time_seconds",
            "Start of the process since the Unix epoch.",
            start.map(Value::Seconds),
        ),
    ];
    let families = known.into_iter().filter_map(|(kind, name, help, value)| {
        let mut family = Extra::new(kind, name, help).with(&[], value?);
        family.namespaced = false;
        Some(family)
    });
    families.collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
}

impl Stat {
    /// Reads `/proc/self/stat`; see proc(5). The name in brackets may hold anything,
    /// so fields are counted from the last bracket: the first after it is number 3.
    fn parse(text: &str) -> Option<Self> {
        let (_, after) = text.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        let mut field = |skip| fields.nth(skip)?.parse::<u64>().ok();
        let user = field(14 - 3)?;
        let system = field(0)?;
        let start_ticks = field(22 - 16)?;
        Some(Self {
            cpu_ticks: user.saturating_add(system),
            start_ticks,
        })
    }
}

/// What follows `name` at the start of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let kib: u64 = field(status, name)?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    kib.checked_mul(1024)
}

fn open_fds() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One is the descriptor that lists them.
    entries.checked_sub(1)
}

/// The soft limit; `None` where it is `unlimited`.
fn max_fds(limits: &str) -> Option<u64> {
    let soft = field(limits, "Max open files")?;
    soft.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_counted_from_the_last_bracket() {
        let text = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 12345 99 1";
        let want = Stat {
            cpu_ticks: 300,
            start_ticks: 12_345,
        };
        assert_eq!(Stat::parse(text), Some(want));
        assert_eq!(Stat::parse("7 (a) S 1 2"), None);
    }

    #[test]
    fn limits_and_status_are_read_or_absent() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(
            max_fds("Max open files   unlimited unlimited files\n"),
            None
        );
        assert_eq!(kib("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * 1024));
        assert_eq!(kib("VmRSS:\t  12 MB\n", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_all_of_it() {
        let families = families();
        assert_eq!(families.len(), 6);
        let start = &families[5].samples[0].1;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let Value::Seconds(Micros(start_us)) = *start else {
            panic!("seconds");
        };
        let age_us = now.as_micros().abs_diff(u128::from(start_us));
        assert!(age_us < 3_600_000_000, "started {age_us} us from now");
    }
}
