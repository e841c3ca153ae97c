//! Counts the allocations of this program, on the product's allocator: linked in, it takes the
//! place of C's, which is what Rust calls the system's. The count is of Rust's calls: what libopus
//! and the crypto library ask for is not in it (they ask when they are made, and not for packets).

use std::alloc::System;

use mimalloc as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations, and growths of allocations, since the beginning.
pub(crate) fn count() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

/// Bytes that are allocated and not freed.
pub(crate) fn live_bytes() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}
