// SPDX-License-Identifier: GPL-2.0

//! What a task may: credentials, groups, filters of system calls.

use zerocopy::FromBytes;

use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use crate::format;
use crate::format::head::ErrorRec;
use crate::format::seccomp;
use crate::format::task;
use crate::format::Why;
use crate::stream::reader::Fault;
use crate::stream::Source;

impl<S: Source<Failed = ErrorRec>> Walker<'_, S> {
    /// Reads credentials, and what belongs to them.
    pub(super) fn creds(&mut self) -> Step<S> {
        let creds: task::Creds = self.record(self.task)?;
        (self.on)(&Event::Creds(&creds));
        let groups = self.groups(self.task, &creds)?;
        if !groups.is_empty() {
            (self.on)(&Event::Groups(&groups));
        }
        if creds.seccomp == task::SECCOMP_FILTER {
            self.filters()?;
        }
        Ok(())
    }

    /// The supplementary groups of credentials that belong to `owner`.
    pub(super) fn groups(
        &mut self,
        owner: u32,
        creds: &task::Creds,
    ) -> Result<Vec<u32>, Fault<S::Error>> {
        let mut groups = Vec::new();
        let mut left = creds.ngroups as usize;
        while left > 0 {
            let nr = left.min(task::GROUPS_CHUNK);
            left = left.saturating_sub(nr);
            let raw = self.bytes(format::GROUPS, owner, nr.saturating_mul(size_of::<u32>()))?;
            for gid in raw.chunks_exact(size_of::<u32>()) {
                groups.push(u32::read_from_bytes(gid).map_err(|_| Why("group is cut off"))?);
            }
        }
        Ok(groups)
    }

    /// The filters of a task, and those of them that no task before has.
    fn filters(&mut self) -> Step<S> {
        let rec: seccomp::Seccomp = self.record(self.task)?;
        (self.on)(&Event::Seccomp(&rec));
        let mut last = None;
        for _ in 0..rec.nr_filters {
            let filter: seccomp::SeccompFilter = self.record(self.task)?;
            let known = filter.prev == 0 || self.filters.contains(&filter.prev);
            rule(known, "reference to a filter that is not in the image")?;
            let follows = last.is_none_or(|last| last == filter.prev);
            rule(follows, "filters of a task are not in their order")?;
            let new = self.filters.insert(filter.objref);
            rule(new, "object reference is taken")?;
            let mut code = Vec::new();
            let mut left = filter.len as usize;
            while left > 0 {
                let nr = left.min(seccomp::INSNS_CHUNK);
                left = left.saturating_sub(nr);
                let size = size_of::<seccomp::SockFilter>();
                let raw =
                    self.bytes(format::SECCOMP_CODE, filter.objref, nr.saturating_mul(size))?;
                for insn in raw.chunks_exact(size) {
                    let insn = seccomp::SockFilter::read_from_bytes(insn);
                    code.push(insn.map_err(|_| Why("instruction is cut off"))?);
                }
            }
            (self.on)(&Event::Filter(&filter, &code));
            last = Some(filter.objref);
        }
        let good = last.is_none_or(|last| last == rec.filter);
        rule(good, "filters of a task are not in their order")?;
        let known = self.filters.contains(&rec.filter);
        rule(known, "reference to a filter that is not in the image")
    }
}
