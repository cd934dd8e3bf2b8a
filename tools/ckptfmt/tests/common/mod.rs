// SPDX-License-Identifier: GPL-2.0

//! Collects the events of a walk into an image again.

use ckptfmt::build::page;
use ckptfmt::build::Image;
use ckptfmt::build::Mapping;
use ckptfmt::build::OpenFile;
use ckptfmt::walk::walk;
use ckptfmt::walk::Event;
use ckptfmt::walk::Stop;
use ckptfmt::walk::Totals;

/// Walks `bytes`; the image as the events tell it.
pub fn collect(bytes: &[u8]) -> Result<(Image, Totals), Box<Stop<std::io::Error>>> {
    let mut to = Image::minimal();
    to.paths = Default::default();
    let (mut data, mut run) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    let totals = walk(&mut rest, &mut |event| match event {
        Event::Head(r) => to.head = **r,
        Event::Release(s) => to.uts[0] = s.to_vec(),
        Event::Version(s) => to.uts[1] = s.to_vec(),
        Event::Machine(s) => to.uts[2] = s.to_vec(),
        Event::HeadArch(r) => to.arch = **r,
        Event::Task(r) => to.task = **r,
        Event::File(r, path) => to.files.push(OpenFile {
            file: **r,
            path: path.to_vec(),
        }),
        Event::Mm(r) => to.mm = **r,
        Event::Auxv(v) => to.auxv = v.to_vec(),
        Event::Vma(r, name) => to.mappings.push(Mapping {
            vma: **r,
            name: name.to_vec(),
            guards: Vec::new(),
            runs: Vec::new(),
        }),
        Event::Guards(g) => to.mappings.last_mut().unwrap().guards.extend_from_slice(g),
        Event::Pages(addrs) => {
            run = addrs.to_vec();
            to.mappings.last_mut().unwrap().runs.push(run.clone());
        }
        Event::Data(bytes) => {
            data.extend_from_slice(bytes);
            if data.len() == run.len() * 4096 {
                assert!(data
                    .chunks(4096)
                    .zip(&run)
                    .all(|(got, addr)| got == page(*addr)));
                data.clear();
            }
        }
        Event::VmaEnd(nr) => {
            assert!(data.is_empty());
            let runs = &to.mappings.last().unwrap().runs;
            assert_eq!(runs.iter().map(|r| r.len() as u64).sum::<u64>(), *nr);
        }
        Event::MmContext(r) => to.mm_context = **r,
        Event::Ldt(entries) => to.ldt.extend_from_slice(entries),
        Event::Thread(r) => to.thread = **r,
        Event::Cpu(r) => to.cpu = **r,
        Event::Fpu(bytes) => to.fpu = bytes.to_vec(),
        Event::RestartBlock(r) => to.restart_block = Some(**r),
        Event::Fs(r) => to.fs = **r,
        Event::Root(s) => to.paths[0] = s.to_vec(),
        Event::Cwd(s) => to.paths[1] = s.to_vec(),
        Event::Files(r) => to.table = **r,
        Event::Fd(r) => to.fds.push(**r),
        Event::Signal(r) => to.signal = **r,
        Event::Siginfo(r) => to.pending.push(**r),
        Event::Itimers(r) => to.itimers = **r,
        Event::Creds(r) => to.creds = **r,
        Event::Groups(g) => to.groups.extend_from_slice(g),
        Event::Rlimits(r) => to.rlimits = **r,
        Event::End(_) => {}
    })?;
    assert_eq!(totals.bytes as usize, bytes.len() - rest.len());
    Ok((to, totals))
}
