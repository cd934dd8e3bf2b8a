// SPDX-License-Identifier: GPL-2.0

//! What the tool says of two images.

use std::fs;

use ckptfmt::build::page;
use ckptfmt::build::Image;
use ckptfmt::build::Other;
use ckptfmt::format::mm::vma_flags as vf;
use tempfile::NamedTempFile;

use super::failed;
use super::run;
use super::Ran;

fn kept(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

/// Compares `a` in a file with `b` on the standard input.
fn bytes(options: &[&str], a: &[u8], b: &[u8]) -> Ran {
    let file = kept(a);
    let mut args = options.to_vec();
    args.extend(["--diff", file.path().to_str().unwrap(), "-"]);
    run(&args, b)
}

fn diff(options: &[&str], a: &Image, b: &Image) -> Ran {
    bytes(options, &a.bytes(), &b.bytes())
}

/// The sample and what `change` makes of it differ, and `texts` are said.
fn tells(change: impl FnOnce(&mut Image), texts: &[&str]) -> String {
    let mut b = Image::sample();
    change(&mut b);
    b.settle();
    let ran = diff(&[], &Image::sample(), &b);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""), "{}", ran.out);
    for text in texts {
        assert!(ran.out.contains(text), "{text:?} is not in:\n{}", ran.out);
    }
    ran.out
}

/// The bytes of `image` with another content of the page at `addr`, and the
/// checksum that goes with it.
fn other_page(image: &Image, addr: u64) -> Vec<u8> {
    let mut bytes = image.bytes();
    let old = page(addr);
    let at = bytes.windows(4096).position(|w| w == old).unwrap();
    bytes[at + 100] ^= 1;
    // Contents of pages, in their order in the sample, are in the last four bytes.
    let data: Vec<u64> = image
        .mappings
        .iter()
        .flat_map(|m| m.runs.concat())
        .chain(image.shmem.iter().flat_map(|s| s.runs.concat()))
        .collect();
    let crc = data.iter().fold(0, |crc, a| {
        let mut contents = page(*a);
        contents[100] ^= u8::from(*a == addr);
        crc32c::crc32c_append(crc, &contents)
    });
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn the_same_state_at_another_time_is_the_same() {
    let a = Image::sample();
    let ran = diff(&[], &a, &a);
    assert_eq!(
        (ran.status, ran.out.as_str(), ran.err.as_str()),
        (0, "", "")
    );
    let mut b = Image::sample();
    (b.head.crid, b.head.realtime_ns, b.task.utime) = (9, 1, 5_000);
    b.itimers.timers[0].value -= 1;
    // Numbers of objects mean nothing in another image.
    b.files[2].file.objref = 99;
    for fd in b.fds.iter_mut().filter(|fd| fd.file == 11) {
        fd.file = 99;
    }
    let ran = diff(&[], &a, &b);
    assert_eq!((ran.status, ran.out.as_str()), (0, ""));
    let ran = diff(&["--all"], &a, &b);
    assert_eq!(ran.status, 1);
    for text in [
        "header\n  crid                 1 -> 9\n",
        "utime                0 -> 5000\n",
        "timers real.value    250000000 -> 249999999\n",
    ] {
        assert!(ran.out.contains(text), "{text:?} is not in:\n{}", ran.out);
    }
}

#[test]
fn values_of_the_image_and_of_its_task() {
    let out = tells(
        |b| {
            b.uts[0] = b"7.3.1".to_vec();
            b.arch.cpuid[2] = 0;
            b.task.nice = -5;
            b.task.comm[..4].copy_from_slice(b"job\0");
            b.cpu.ip = 0x40_1005;
            b.fpu[160] = 1;
            b.restart_block = None;
            b.paths[1] = b"/tmp".to_vec();
            b.signal.blocked = 1 << 9;
            b.signal.actions[9].handler = 1;
            b.pending.pop();
            b.posix[0].sigval = 0x20;
            b.posix.remove(1);
            b.timers.next_id = 77;
            b.itimers.timers[0].interval = 1;
            b.creds.uid = 1000;
            b.groups.push(1000);
            b.rlimits.limits[7].cur = u64::MAX;
            b.auxv[1] = 1;
            b.ldt.pop();
        },
        &[
            "\nheader\n  kernel release       7.3.0 -> 7.3.1\n",
            "\nmachine\n  cpuid[2]             0x20 -> 0\n",
            "\ntask 100\n  task\n    nice                 0 -> -5\n    comm                 ckpt -> job\n",
            "\n  registers\n    ip                   0x401000 -> 0x401005\n",
            "\n    xmm0\n      - 0x00000000000000000000000000000000\n      + 0x0000000000000000000000000000000",
            "\n  interrupted call\n    - all of it\n",
            "\n    entry 0, type 6      0x1000 -> 0x1\n",
            "\n  LDT\n    - entry 1\n",
            "\n    current              / -> /tmp\n",
            "\n    blocked              SIGUSR1 signal 34 -> SIGUSR1\n",
            "\n    actions SIGUSR1.handler 0x401100 -> ignore\n",
            "\n  pending signals\n    - signal 36, for the process",
            "\n    next_id              10 -> 77\n    timer 0\n      sigval               0x0 -> 0x20\n    - timer 2\n",
            "\n    timers real.interval 2000000000 -> 1\n",
            "\n    uid                  0 -> 1000\n",
            "\n    + group 1000\n",
            "\n    limits nofile.cur    1024 -> unlimited\n",
        ],
    );
    assert!(out.starts_with("--- /"), "{out}");
    assert!(out.contains("\n+++ standard input\n"), "{out}");
}

#[test]
fn descriptors_by_what_they_are() {
    tells(
        |b| {
            b.files[3].file.pos = 7;
            b.fds[2].file = 12;
            b.fds[3].fd = 6;
            b.fds[3].flags = 0;
        },
        &[
            "    1 /tmp/cr-rest.out\n      pos                  0 -> 7\n",
            "    2 /dev/ttyS0\n      path                 /dev/ttyS0 -> /tmp/cr-rest.out\n",
            "      shared               as descriptor 0 -> as descriptor 1\n",
            "    - 7 \n",
            "    + 6 \n",
        ],
    );
}

#[test]
fn mappings_and_their_files() {
    tells(
        |b| {
            b.files[0].file.size = 4096;
            b.mappings[1].vma.flags &= !vf::WRITE;
            b.mappings[2].guards[0].end -= 4096;
            b.mappings[3].vma.start -= 4096;
            b.mappings.remove(4);
            let mut new = b.mappings[3].clone();
            (new.vma.start, new.vma.end, new.vma.flags) = (0x60_0000, 0x60_1000, vf::READ);
            b.mappings.insert(3, new);
        },
        &[
            "    0x402000-0x403000 /bin/ckpt, 1 page, 1 saved\n      protection, flags    rw- account -> r-- account\n",
            "    + 0x600000-0x601000 anonymous, 1 page, 0 saved\n",
            "      start                0x7ffd00000000 -> 0x7ffcfffff000\n",
            "    - 0x7ffe00000000-0x7ffe00002000 [vdso], 2 pages, 0 saved\n",
            "  guard ranges\n    0x508000-0x50a000\n      end                  0x50a000 -> 0x509000\n",
            "  mapped files\n    /bin/ckpt\n      size                 0 -> 4096\n",
        ],
    );
}

#[test]
fn pages_by_their_contents() {
    let a = Image::sample();
    let mut b = Image::sample();
    b.mappings[2].runs = vec![vec![0x50_0000, 0x50_1000, 0x50_2000]];
    let heap = "  pages\n    0x500000-0x510000 [anon:arena], 16 pages, 3 saved\n      \
                1 page changed, 1 page saved in the first only, 1 page saved in the second only\n        \
                0x501000-0x502000 1 page saved in the second only\n        \
                0x502000-0x503000 1 page changed\n        \
                0x50f000-0x510000 1 page saved in the first only\n";
    let second = other_page(&b, 0x50_2000);
    let ran = bytes(&[], &a.bytes(), &second);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    assert!(ran.out.ends_with(heap), "{}", ran.out);
    assert!(!ran.out.contains("mappings"), "{}", ran.out);

    let ran = bytes(&["--json"], &a.bytes(), &second);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &value["same"]), (1, &false.into()));
    assert_eq!(value["changes"].as_array().unwrap().len(), 1);
    let pages = &value["changes"][0];
    assert_eq!(
        (&pages["task"], &pages["changed"]),
        (&100.into(), &1.into())
    );
    assert_eq!(pages["ranges"][1]["start"], "0x502000");
    assert_eq!(pages["ranges"][2]["change"], "first only");

    // Contents of a mapping that is new are its own.
    let mut none = Image::sample();
    none.mappings.remove(2);
    none.settle();
    let ran = diff(&[], &none, &a);
    assert!(ran
        .out
        .contains("    + 0x500000-0x510000 [anon:arena], 16 pages, 3 saved\n"));
    assert!(!ran.out.contains("  pages\n"), "{}", ran.out);
}

#[test]
fn long_answers_are_cut_for_people_only() {
    let mut b = Image::sample();
    b.mappings[3].runs = (0..33)
        .step_by(2)
        .map(|i| vec![0x7ffd_0000_0000 + i * 4096])
        .collect();
    b.groups = (1000..1100).collect();
    b.settle();
    let ran = diff(&[], &Image::sample(), &b);
    assert!(ran.out.contains("17 pages saved in the second only\n"));
    assert!(
        ran.out.contains("... 1 more range, see --json\n"),
        "{}",
        ran.out
    );
    // 3 groups are gone, 100 have come.
    assert!(ran.out.contains("... 39 more, see --json\n"), "{}", ran.out);
    let json = diff(&["--json"], &Image::sample(), &b).out;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["changes"].as_array().unwrap().len(), 104);
}

#[test]
fn the_only_tasks_are_compared_whatever_their_ids() {
    let a = Image::minimal();
    let mut b = Image::minimal();
    (b.task.pid, b.task.tgid) = (200, 200);
    (b.tree[0].pid, b.tree[0].tgid) = (200, 200);
    let ran = diff(&[], &a, &b);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    let text = "task 200\n  forest\n    pid                  100 -> 200\n";
    assert!(ran.out.contains(text), "{}", ran.out);
    assert!(!ran.out.contains("only in"), "{}", ran.out);
}

#[test]
fn each_task_has_its_own_differences() {
    let out = tells(
        |b| {
            b.cpu.ip += 1;
            let Some(Other::Thread { cpu, signal, .. }) = b.others.first_mut() else {
                panic!("the sample has a thread");
            };
            (cpu.ip, signal.ss_size) = (0x40_2000, 8192);
            // Its zombie child has not been waited for in the first image only.
            b.others.truncate(1);
            b.tree.truncate(2);
        },
        &[
            "\n  nr_tasks             3 -> 2\n",
            "\ntask 100\n  registers\n    ip                   0x401000 -> 0x401001\n",
            "\ntask 101\n  registers\n    ip ",
            "\n  signals\n    ss_size              0 -> 8192\n",
            "\ntask 102\n  only in the first image\n",
        ],
    );
    assert_eq!(out.matches("\n  registers\n").count(), 2, "{out}");
}

#[test]
fn json_of_two_that_are_the_same() {
    let ran = diff(&["--json"], &Image::sample(), &Image::sample());
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &value["same"]), (0, &true.into()));
    assert_eq!(value["second"], "standard input");
}

#[test]
fn trouble_is_no_difference() {
    let good = Image::sample().bytes();
    for (a, b) in [(&good[..200], &good[..]), (&good[..], &good[..200])] {
        let ran = bytes(&[], a, b);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains("the image ends here"), "{}", ran.err);
    }
    let ran = bytes(&[], &good, &failed());
    assert_eq!(ran.status, 2);
    assert!(ran.err.starts_with("ckptinfo: standard input: "));
    assert!(ran.err.contains("ETXTBSY"), "{}", ran.err);
    for args in [
        &["--diff", "-", "-"][..],
        &["--diff", "-"],
        &["--diff", "/no/such/image", "-"],
        &["--diff", "/dev/null", "/dev/null", "--maps"],
        &["--all"],
    ] {
        assert_eq!(run(args, &good).status, 2, "{args:?}");
    }
}
