// SPDX-License-Identifier: GPL-2.0

//! The FPU state as registers: the XSAVE layout, non-compacted.

/// Bytes that are shown as one.
const STEP: usize = 16;

/// The registers of a state, by name, in the order of the layout.
pub fn registers(state: &[u8]) -> impl Iterator<Item = (String, String)> + '_ {
    state.chunks(STEP).zip(0usize..).map(|(bytes, i)| {
        // A register holds a little-endian number.
        let digits: String = bytes.iter().rev().map(|b| format!("{b:02x}")).collect();
        (name(i), format!("0x{digits}"))
    })
}

/// What the 16 bytes with this index are.
fn name(index: usize) -> String {
    match index {
        0 => "x87 control".into(),
        1 => "x87 data pointer, mxcsr".into(),
        2..=9 => format!("st{}", index.saturating_sub(2)),
        10..=25 => format!("xmm{}", index.saturating_sub(10)),
        26..=31 => format!("legacy area at {}", index.saturating_mul(STEP)),
        32..=35 => format!("header at {}", index.saturating_mul(STEP)),
        _ => format!("extended state at {}", index.saturating_mul(STEP)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_their_names() {
        let mut state = vec![0; 832];
        state[160 + 16] = 7;
        state[32] = 1;
        let all: Vec<_> = registers(&state).collect();
        assert_eq!(all.len(), 52);
        let changed: Vec<&str> = all
            .iter()
            .filter(|r| r.1.contains(['1', '7']))
            .map(|r| r.0.as_str())
            .collect();
        assert_eq!(changed, ["st0", "xmm1"]);
        assert_eq!(all[11].1, format!("0x{:032x}", 7));
        assert_eq!(all[36].0, "extended state at 576");
    }
}
