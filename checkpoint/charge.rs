// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Who is charged for memory of the kernel.

use kernel::alloc::flags::__GFP_NOWARN;
use kernel::alloc::flags::__GFP_RETRY_MAYFAIL;
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::alloc::Flags;

/// For memory that is kept, as much as there is of what a program has: the process that is
/// saved or restored is charged for it. It may be near the limit of its group, and must not
/// be killed for this.
pub(crate) fn charged() -> Flags {
    GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN
}
