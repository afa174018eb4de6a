//! CPUs: how many there are for us, and pinning to one of them.

use std::io;

/// CPUs that this process can keep busy: its affinity mask and cgroup quota count.
///
/// At least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Numbers of the CPUs that the calling thread may run on.
#[cfg(target_os = "linux")]
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Pins the calling thread to one of `allowed`, round robin by worker index.
#[cfg(target_os = "linux")]
pub(crate) fn pin(worker: usize, allowed: &[usize]) -> io::Result<()> {
    let Some(cpu) = allowed.get(worker % allowed.len().max(1)) else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let mut set = rustix::thread::CpuSet::new();
    set.set(*cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Pinning is there on Linux only.
#[cfg(not(target_os = "linux"))]
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Pinning is there on Linux only.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_worker: usize, _allowed: &[usize]) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
