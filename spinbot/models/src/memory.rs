//! How this process keeps the memory that tensors gave back.

/// Keeps what is freed for the next tensor, instead of giving it back to the system and asking for it again: networks free
/// and take the same megabytes all the time, and the system clears every page anew, which is a tenth of a training step.
/// Ended by [`give_back_memory`]; to be called once, before networks run. Does nothing where the C library is not glibc.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only sets numbers of the allocator. One it does not take leaves things as they were.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// Gives back what is free: between jobs, others need it more.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the allocator's own housekeeping.
    unsafe {
        libc::malloc_trim(64 << 20);
    }
}
