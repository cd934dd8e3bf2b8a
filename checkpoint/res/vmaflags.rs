// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Flags of a mapping.
//!
//! The kernel's flag bits are translated to image bits by one table. A bit
//! that is in neither list below makes the checkpoint fail.

use crate::format::mm::vma_flags as f;
use crate::kapi::vma::bit;
use kernel::bindings as b;
use kernel::prelude::*;

/// Image bits and the kernel's bits that they stand for.
const FLAGS: &[(u64, u64)] = &[
    (f::READ, bit(b::VMA_READ_BIT)),
    (f::WRITE, bit(b::VMA_WRITE_BIT)),
    (f::EXEC, bit(b::VMA_EXEC_BIT)),
    (f::GROWSDOWN, bit(b::VMA_GROWSDOWN_BIT)),
    (f::LOCKED, bit(b::VMA_LOCKED_BIT)),
    (f::LOCKONFAULT, bit(b::VMA_LOCKONFAULT_BIT)),
    (f::SEQ_READ, bit(b::VMA_SEQ_READ_BIT)),
    (f::RAND_READ, bit(b::VMA_RAND_READ_BIT)),
    (f::DONTCOPY, bit(b::VMA_DONTCOPY_BIT)),
    (f::DONTEXPAND, bit(b::VMA_DONTEXPAND_BIT)),
    (f::NORESERVE, bit(b::VMA_NORESERVE_BIT)),
    (f::WIPEONFORK, bit(b::VMA_WIPEONFORK_BIT)),
    (f::DONTDUMP, bit(b::VMA_DONTDUMP_BIT)),
    (f::HUGEPAGE, bit(b::VMA_HUGEPAGE_BIT)),
    (f::NOHUGEPAGE, bit(b::VMA_NOHUGEPAGE_BIT)),
    (f::MERGEABLE, bit(b::VMA_MERGEABLE_BIT)),
    (f::SEALED, bit(b::VMA_SEALED_BIT)),
    (f::DROPPABLE, bit(b::VMA_DROPPABLE_BIT)),
    (f::GUARD, bit(b::VMA_MAYBE_GUARD_BIT)),
    (f::ACCOUNT, bit(b::VMA_ACCOUNT_BIT)),
];

/// Bits that say nothing of their own, or are saved in another field.
const DERIVED: u64 = bit(b::VMA_MAYREAD_BIT)
    | bit(b::VMA_MAYWRITE_BIT)
    | bit(b::VMA_MAYEXEC_BIT)
    | bit(b::VMA_SHARED_BIT)
    | bit(b::VMA_MAYSHARE_BIT)
    | bit(b::VMA_SOFTDIRTY_BIT)
    | PKEY_BITS;

/// Image bits that a new mapping gets as they are.
pub(super) const DIRECT: u64 = f::LOCKONFAULT
    | f::SEQ_READ
    | f::RAND_READ
    | f::DONTCOPY
    | f::DONTEXPAND
    | f::WIPEONFORK
    | f::DONTDUMP
    | f::NOHUGEPAGE;

pub(super) const PKEY_SHIFT: u32 = b::VMA_HIGH_ARCH_0_BIT;
const PKEY_BITS: u64 = 0xf << PKEY_SHIFT;

/// Kernel bits of mappings that are refused, and why.
const REFUSED: &[(u64, &str)] = &[
    (
        bit(b::VMA_HUGETLB_BIT),
        "a hugetlb mapping is not supported",
    ),
    (
        bit(b::VMA_IO_BIT) | bit(b::VMA_PFNMAP_BIT) | bit(b::VMA_MIXEDMAP_BIT),
        "a device mapping is not supported",
    ),
    (
        bit(b::VMA_UFFD_MISSING_BIT)
            | bit(b::VMA_UFFD_WP_BIT)
            | bit(b::VMA_UFFD_MINOR_BIT)
            | bit(b::VMA_UFFD_RWP_BIT),
        "a mapping watched by userfaultfd is not supported",
    ),
];

/// The image's bits for the kernel's, or why a mapping is refused.
pub(super) fn encode(kernel: u64) -> Result<u64, &'static str> {
    if let Some((_, why)) = REFUSED.iter().find(|(bits, _)| kernel & bits != 0) {
        return Err(why);
    }
    let mut left = kernel & !DERIVED;
    let mut image = 0;
    for (to, from) in FLAGS {
        if kernel & from != 0 {
            image |= to;
            left &= !from;
        }
    }
    if left == 0 {
        Ok(image)
    } else {
        Err("a mapping with flags that are not supported")
    }
}

/// The kernel's bits for those of the image that are in `mask`.
pub(super) fn decode(image: u64, mask: u64) -> u64 {
    FLAGS
        .iter()
        .filter(|(from, _)| image & mask & from != 0)
        .fold(0, |bits, (_, to)| bits | to)
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_res_vma)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_image_bit_has_one_kernel_bit() {
        let (mut image, mut kernel) = (0u64, 0u64);
        for (i, k) in FLAGS {
            assert!(i.is_power_of_two() && k.is_power_of_two());
            assert_eq!(image & i, 0);
            assert_eq!(kernel & k, 0);
            image |= i;
            kernel |= k;
        }
        assert_eq!(image, f::ALL);
        assert_eq!(kernel & DERIVED, 0);
    }

    #[test]
    fn bits_survive() {
        for (image, kernel) in FLAGS {
            assert_eq!(encode(*kernel), Ok(*image));
            assert_eq!(decode(*image, f::ALL), *kernel);
        }
    }

    #[test]
    fn unknown_and_refused_bits_do_not() {
        assert!(encode(1 << 60).is_err());
        for (bits, _) in REFUSED {
            for nr in 0..64 {
                if bits >> nr & 1 == 1 {
                    assert!(encode(1 << nr).is_err());
                }
            }
        }
    }
}
