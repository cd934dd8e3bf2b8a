// SPDX-License-Identifier: GPL-2.0

//! Files that come and go while a program runs, as they were when it was checkpointed.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::list::coming_and_going;
use crate::runs::MOMENTS;
use crate::runs::MOST;
use crate::Stage;

impl Stage {
    /// Has it files that come and go, and outlive a reboot?
    pub fn keeps(&self) -> bool {
        !coming_and_going(&self.program).is_empty()
    }

    /// Where the files of a moment are, which outlives a reboot.
    fn kept(&self, moment: usize) -> PathBuf {
        self.file(&format!("{moment}.kept"))
    }

    /// Is there if all output may have been written before the image of a moment.
    pub fn written(&self, moment: usize) -> PathBuf {
        self.file(&format!("{moment}.written"))
    }

    /// What comes and goes, and the output: paths in the test's directory.
    fn paths(&self) -> Vec<PathBuf> {
        let own = coming_and_going(&self.program).iter().map(PathBuf::from);
        let out = self.file("out");
        let out = out.file_name().map(PathBuf::from);
        own.chain(out).collect()
    }

    /// Keeps the files of a program that was killed at this moment, with all attributes.
    pub fn keep(&self, moment: usize) -> Result<(), String> {
        let to = self.kept(moment);
        std::fs::create_dir(&to).map_err(|e| format!("{}: {e}", to.display()))?;
        let mut paths = self.paths();
        paths.retain(|path| self.dir.join(path).exists());
        let mut command = Command::new("/bin/cp");
        command.args(["-a", "--parents"]).args(paths).arg(&to);
        self.in_dir(command)
    }

    /// Puts the files of this moment in the place of those that are there.
    pub fn bring_back(&self, moment: usize) -> Result<(), String> {
        let mut command = Command::new("/bin/rm");
        command.arg("-rf").args(self.paths());
        self.in_dir(command)?;
        let mut command = Command::new("/bin/cp");
        command.arg("-a").arg(self.kept(moment).join(".")).arg(".");
        self.in_dir(command)
    }

    /// The image of a moment, and all that is kept with it.
    fn all_of(&self, moment: usize) -> [PathBuf; 3] {
        [self.image(moment), self.kept(moment), self.written(moment)]
    }

    /// Of so many images keeps [`MOMENTS`], from the first to the last one; how many there are
    /// now.
    pub fn thin(&self, count: usize) -> Result<usize, String> {
        if count <= MOMENTS {
            return Ok(count);
        }
        for moment in 0..MOMENTS {
            // Never before it: what is there has had its turn.
            let from = moment * (count - 1) / (MOMENTS - 1);
            if from == moment {
                continue;
            }
            self.forget(self.all_of(moment))?;
            for (from, to) in self.all_of(from).iter().zip(self.all_of(moment)) {
                if from.exists() {
                    std::fs::rename(from, to).map_err(|e| format!("{}: {e}", from.display()))?;
                }
            }
        }
        self.forget((MOMENTS..count).flat_map(|moment| self.all_of(moment)))?;
        Ok(MOMENTS)
    }

    /// Removes all images, and the files that were kept with them.
    pub fn forget_kept(&self) -> Result<(), String> {
        self.forget((0..MOST).flat_map(|moment| self.all_of(moment)))
    }

    fn forget(&self, paths: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<(), String> {
        let mut command = Command::new("/bin/rm");
        command.arg("-rf").args(paths);
        self.in_dir(command)
    }

    /// Runs a command in the test's directory.
    fn in_dir(&self, mut command: Command) -> Result<(), String> {
        let output = command.current_dir(&self.dir).output();
        let output = output.map_err(|e| format!("{command:?}: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}: {said}", output.status))
    }
}
