//! The `headwater` binary.

use std::process::ExitCode;

/// Arrow makes many buffers of many sizes on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    headwater_cli::main()
}
