//! Whether io_uring works here.

use io_uring::{IoUring, Probe, opcode};
use std::io;

/// Operations that the monoio backend submits.
const USED: [u8; 7] = [
    opcode::AsyncCancel::CODE,
    opcode::Close::CODE,
    opcode::Connect::CODE,
    opcode::PollAdd::CODE,
    opcode::Read::CODE,
    opcode::Timeout::CODE,
    opcode::Accept::CODE,
];

/// Sets up a small ring, enters it and asks for the operations; the ring is closed again.
///
/// Entering is a system call of its own that a seccomp profile may refuse alone, and
/// monoio would spin on its error for ever.
///
/// # Errors
/// The refusal.
pub(crate) fn probe() -> io::Result<()> {
    let ring = IoUring::new(2)?;
    let submitter = ring.submitter();
    submitter.submit()?;
    let mut probe = Probe::new();
    submitter.register_probe(&mut probe)?;
    if ring.params().is_feature_ext_arg() && USED.iter().all(|code| probe.is_supported(*code)) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the kernel's io_uring is too old",
        ))
    }
}
