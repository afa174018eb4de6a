//! Whether io_uring works here.

use io_uring::{IoUring, Probe, opcode};
use std::io;

/// Operations that the monoio backend submits.
const MONOIO: [u8; 7] = [
    opcode::AsyncCancel::CODE,
    opcode::Close::CODE,
    opcode::Connect::CODE,
    opcode::PollAdd::CODE,
    opcode::Read::CODE,
    opcode::Timeout::CODE,
    opcode::Accept::CODE,
];

/// Operations that glommio submits for what we use of it, or panics without.
#[cfg(feature = "glommio")]
const GLOMMIO: [u8; 13] = [
    opcode::Nop::CODE,
    opcode::AsyncCancel::CODE,
    opcode::PollAdd::CODE,
    opcode::PollRemove::CODE,
    opcode::Timeout::CODE,
    opcode::TimeoutRemove::CODE,
    opcode::LinkTimeout::CODE,
    opcode::Accept::CODE,
    opcode::Connect::CODE,
    opcode::Read::CODE,
    opcode::Write::CODE,
    opcode::Send::CODE,
    opcode::Recv::CODE,
];

/// Whether the monoio backend can run on io_uring.
///
/// # Errors
/// The refusal.
pub(crate) fn probe_for_monoio() -> io::Result<()> {
    probe(&MONOIO)
}

/// Whether the glommio backend can run.
///
/// # Errors
/// The refusal.
#[cfg(feature = "glommio")]
pub(crate) fn probe_for_glommio() -> io::Result<()> {
    probe(&GLOMMIO)
}

/// Sets up a small ring, enters it and asks for the operations; the ring is closed again.
///
/// Entering is a system call of its own that a seccomp profile may refuse alone. monoio
/// would spin on its error for ever, and glommio would panic.
fn probe(used: &[u8]) -> io::Result<()> {
    let ring = IoUring::new(2)?;
    let submitter = ring.submitter();
    submitter.submit()?;
    let mut probe = Probe::new();
    submitter.register_probe(&mut probe)?;
    if ring.params().is_feature_ext_arg() && used.iter().all(|code| probe.is_supported(*code)) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the kernel's io_uring is too old",
        ))
    }
}
