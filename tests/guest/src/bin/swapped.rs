// SPDX-License-Identifier: GPL-2.0

//! Pages that are in swap: they are found, and they are back after a restart.

use std::path::Path;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::procfs;
use ckpt_guest::sys;

const DEVICE: &str = "/dev/zram0";
const SIZE: usize = 64 << 20;
const PAGES: usize = 2048;
const MADV_PAGEOUT: i32 = 21;

/// Makes the compressed memory device a swap device, as mkswap(8) and swapon(8) do.
fn swap_on() -> Result<(), String> {
    let control = Path::new("/sys/block/zram0");
    if !control.exists() || !Path::new(DEVICE).exists() {
        return Err("there is no zram device".to_string());
    }
    let size = std::fs::read_to_string(control.join("disksize")).unwrap_or_default();
    if size.trim() != "0" {
        return Err("the zram device is in use".to_string());
    }
    std::fs::write(control.join("disksize"), SIZE.to_string())
        .map_err(|e| format!("zram does not take a size: {e}"))?;
    let mut header = vec![0u8; PAGE];
    header[1024..1028].copy_from_slice(&1u32.to_le_bytes());
    header[1028..1032].copy_from_slice(&((SIZE / PAGE - 1) as u32).to_le_bytes());
    header[PAGE - 10..].copy_from_slice(b"SWAPSPACE2");
    std::fs::write(DEVICE, header).map_err(|e| format!("{DEVICE}: {e}"))?;
    // SAFETY: a C string.
    sys::libc_result(unsafe { libc::swapon(c"/dev/zram0".as_ptr(), 0) })
        .map(|_| ())
        .map_err(|e| format!("swapon: {e}"))
}

fn swap_off() {
    // SAFETY: a C string.
    let _ = unsafe { libc::swapoff(c"/dev/zram0".as_ptr()) };
    let _ = std::fs::write("/sys/block/zram0/reset", "1");
}

fn swapped_kib(map: &Map) -> usize {
    let all = procfs::own_mappings();
    let found = procfs::mapping_at(&all, map.addr);
    *found.and_then(|m| m.numbers.get("Swap")).unwrap_or(&0)
}

fn main() -> ExitCode {
    let life = Life::start();
    if life.dry() {
        check::skip("a dry run leaves the machine's swap alone");
    }
    if let Err(reason) = swap_on() {
        check::skip(&reason);
    }
    let memory = check::need("mmap", Map::anon(PAGES * PAGE));
    (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
    let shared = check::need(
        "mmap",
        Map::new(Spec {
            len: PAGES * PAGE,
            flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            ..Spec::default()
        }),
    );
    (0..PAGES).for_each(|page| shared.fill_page(page, !(page as u64)));
    check::need("madvise(PAGEOUT)", memory.advise(MADV_PAGEOUT));
    check::need("madvise(PAGEOUT)", shared.advise(MADV_PAGEOUT));
    let (kib, shared_kib) = (swapped_kib(&memory), swapped_kib(&shared));
    if kib == 0 || shared_kib == 0 {
        swap_off();
        check::skip("the kernel did not swap a page");
    }

    let back = life.checkpoint();

    for page in 0..PAGES {
        check::that(
            memory.page_is(page, page as u64),
            format!("page {page} differs"),
        );
        check::that(
            shared.page_is(page, !(page as u64)),
            format!("shared page {page} differs"),
        );
    }
    // Others may use the device when this is over, also when this was killed before.
    swap_off();
    check::detail(format!(
        "{back:?}, {kib} kB and {shared_kib} kB of shared memory were in swap"
    ));
    check::verdict()
}
