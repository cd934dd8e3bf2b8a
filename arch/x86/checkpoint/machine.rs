// SPDX-License-Identifier: GPL-2.0

//! What an image needs of a machine, and whether this one has it.

use super::context;
use super::fpu;
use crate::format::cpuid;
use crate::format::head::HeadArch;
use kernel::bindings;

/// Outputs eax, ebx, ecx and edx of the CPUID instruction.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let mut out = [0; 4];
    // SAFETY: The array has room for four words.
    unsafe { bindings::ckpt_cpuid(leaf, subleaf, out.as_mut_ptr()) };
    out
}

fn words() -> [u32; 16] {
    let mut words = [0; 16];
    let highest = cpuid(0, 0)[0];
    for (word, (leaf, subleaf, reg)) in words.iter_mut().zip(cpuid::WORDS) {
        if leaf <= highest || leaf >= 0x8000_0000 {
            *word = cpuid(leaf, subleaf)
                .get(usize::from(reg))
                .copied()
                .unwrap_or(0);
        }
    }
    words
}

/// This machine, as an image describes it.
pub(crate) fn describe() -> HeadArch {
    let mut head = HeadArch::zeroed();
    head.xfeatures = fpu::features();
    head.xsave_size = fpu::size();
    (head.vdso_size, head.vdso_crc) = context::vdso_identity();
    head.cpuid = words();
    head.xoffsets = fpu::offsets();
    head
}

/// What this machine lacks: a reason, and the name of a processor feature.
pub(crate) fn lacks(image: &HeadArch) -> Option<(&'static str, &'static str)> {
    let here = describe();
    if let Some(name) = cpuid::first_missing(&image.cpuid, &here.cpuid) {
        return Some((
            "this processor lacks a feature that the image may use",
            name,
        ));
    }
    let missing = image.xfeatures & !here.xfeatures;
    if missing != 0 {
        return Some((
            "this machine has not enabled all vector state",
            cpuid::component(missing.trailing_zeros()),
        ));
    }
    if image.xsave_size != here.xsave_size || image.xoffsets != here.xoffsets {
        // Those of components 2 and up are told; behind them may be others.
        let offsets = image.xoffsets.iter().zip(&here.xoffsets);
        let moved = (2..).zip(offsets).find(|(_, (there, here))| there != here);
        return Some((
            "the FPU state of this processor has another layout",
            moved.map_or("its size", |(number, _)| cpuid::component(number)),
        ));
    }
    None
}

/// Is the vDSO of this kernel the one that the image's kernel had?
pub(crate) fn has_vdso_of(image: &HeadArch) -> bool {
    context::vdso_identity() == (image.vdso_size, image.vdso_crc)
}
