// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Processor features that user code may have latched.
//!
//! A C library picks its string functions once, by CPUID; the choice is in
//! the memory of the image. A processor that lacks a feature the image may
//! use is therefore refused, by name. The words are CPUID's own outputs:
//! architecture, not the kernel's numbering.

/// Leaf and subleaf of each stored quadruple's words, and the register: 0 eax to 3 edx.
pub const WORDS: [(u32, u32, u8); 11] = [
    (1, 0, 2),
    (1, 0, 3),
    (7, 0, 1),
    (7, 0, 2),
    (7, 0, 3),
    (7, 1, 0),
    (0xd, 1, 0),
    (0x8000_0001, 0, 2),
    (0x8000_0001, 0, 3),
    (7, 1, 3),
    (0x19, 0, 1),
];

/// Word, bit and name of every feature that is compared.
pub const FEATURES: &[(usize, u32, &str)] = &[
    (0, 0, "sse3"),
    (0, 1, "pclmulqdq"),
    (0, 9, "ssse3"),
    (0, 12, "fma"),
    (0, 13, "cx16"),
    (0, 19, "sse4_1"),
    (0, 20, "sse4_2"),
    (0, 22, "movbe"),
    (0, 23, "popcnt"),
    (0, 25, "aes"),
    (0, 26, "xsave"),
    (0, 28, "avx"),
    (0, 29, "f16c"),
    (0, 30, "rdrand"),
    (1, 4, "tsc"),
    (1, 8, "cx8"),
    (1, 15, "cmov"),
    (1, 19, "clflush"),
    (1, 23, "mmx"),
    (1, 24, "fxsr"),
    (1, 25, "sse"),
    (1, 26, "sse2"),
    (2, 0, "fsgsbase"),
    (2, 3, "bmi1"),
    (2, 4, "hle"),
    (2, 5, "avx2"),
    (2, 8, "bmi2"),
    (2, 9, "erms"),
    (2, 11, "rtm"),
    (2, 16, "avx512f"),
    (2, 17, "avx512dq"),
    (2, 18, "rdseed"),
    (2, 19, "adx"),
    (2, 21, "avx512ifma"),
    (2, 23, "clflushopt"),
    (2, 24, "clwb"),
    (2, 26, "avx512pf"),
    (2, 27, "avx512er"),
    (2, 28, "avx512cd"),
    (2, 29, "sha_ni"),
    (2, 30, "avx512bw"),
    (2, 31, "avx512vl"),
    (3, 1, "avx512_vbmi"),
    (3, 4, "ospke"),
    (3, 5, "waitpkg"),
    (3, 6, "avx512_vbmi2"),
    (3, 8, "gfni"),
    (3, 9, "vaes"),
    (3, 10, "vpclmulqdq"),
    (3, 11, "avx512_vnni"),
    (3, 12, "avx512_bitalg"),
    (3, 14, "avx512_vpopcntdq"),
    (3, 22, "rdpid"),
    (3, 25, "cldemote"),
    (3, 27, "movdiri"),
    (3, 28, "movdir64b"),
    (4, 4, "fsrm"),
    (4, 8, "avx512_vp2intersect"),
    (4, 14, "serialize"),
    (4, 22, "amx_bf16"),
    (4, 23, "avx512_fp16"),
    (4, 24, "amx_tile"),
    (4, 25, "amx_int8"),
    (5, 0, "sha512"),
    (5, 1, "sm3"),
    (5, 2, "sm4"),
    (5, 4, "avx_vnni"),
    (5, 5, "avx512_bf16"),
    (5, 7, "cmpccxadd"),
    (5, 23, "avx_ifma"),
    (6, 0, "xsaveopt"),
    (6, 1, "xsavec"),
    (6, 2, "xgetbv1"),
    (7, 0, "lahf_lm"),
    (7, 5, "abm"),
    (7, 6, "sse4a"),
    (7, 8, "prefetchw"),
    (7, 16, "fma4"),
    (7, 21, "tbm"),
    (8, 22, "mmxext"),
    (8, 27, "rdtscp"),
    (8, 30, "3dnowext"),
    (8, 31, "3dnow"),
];

/// The first feature that `image` has and `host` lacks.
pub fn first_missing(image: &[u32; 16], host: &[u32; 16]) -> Option<&'static str> {
    FEATURES
        .iter()
        .find(|(word, bit, _)| {
            let of = |words: &[u32; 16]| words.get(*word).is_some_and(|w| w >> *bit & 1 == 1);
            of(image) && !of(host)
        })
        .map(|f| f.2)
}

/// Name of a component of the vector state, by its number in XCR0.
pub fn component(number: u32) -> &'static str {
    match number {
        0 => "x87",
        1 => "sse",
        2 => "avx",
        3 | 4 => "mpx",
        5 => "avx512 opmask",
        6 => "avx512 upper halves",
        7 => "avx512 registers 16 to 31",
        9 => "protection keys",
        11 | 12 => "shadow stacks",
        17 | 18 => "amx",
        19 => "apx",
        _ => "a component without a name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named() {
        let mut image = [0; 16];
        image[2] = 1 << 5;
        assert_eq!(first_missing(&image, &[0; 16]), Some("avx2"));
        assert_eq!(first_missing(&image, &image), None);
        assert_eq!(first_missing(&[0; 16], &image), None);
    }

    #[test]
    fn components_are_named() {
        assert_eq!(component(2), "avx");
        assert_eq!(component(18), "amx");
        assert_eq!(component(63), "a component without a name");
    }
}
