// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The image: which process it is of, and how it gets to the kernel.
//!
//! Of a regular file the head is looked at, and the position does not move: the
//! kernel reads the file itself, if nothing in it is changed. Of a pipe what was looked at is gone; then a thread
//! feeds it, and all that follows, into a pipe of our own.

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::IsTerminal;
use std::io::Read;
use std::io::Seek;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ckptfmt::format::head::Head;
use ckptfmt::format::head::HeadArch;
use ckptfmt::format::tree::Tree;
use ckptfmt::format::Why;
use ckptfmt::io::IoSource;
use ckptfmt::stream::reader::Fault;
use ckptfmt::stream::reader::Reader;
use ckptfmt::walk::UTS_MAX;

use crate::clocks::Clocks;
use crate::feed::Feed;
use crate::group::Lead;
use crate::handover::Replace;

/// An image that was opened.
#[derive(Debug)]
pub struct Image {
    file: File,
    name: String,
    regular: bool,
    stdin: bool,
    /// What was taken from a stream.
    taken: Vec<u8>,
}

/// The first process of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// The process id that it had.
    pub pid: i32,
    /// What its clocks showed.
    pub clocks: Clocks,
    /// What it led.
    pub led: Lead,
}

/// What the kernel is to read, and the thread that writes it if there is one.
pub type Input = (OwnedFd, Option<Feed>);

impl Image {
    /// Opens the argument of `--input`.
    ///
    /// # Errors
    ///
    /// Those of open(2); and a terminal has no image.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let path = path.filter(|path| *path != "-");
        let (file, name) = match path {
            Some(path) => {
                let name = ckpttool::escape(path.as_os_str().as_encoded_bytes());
                let file = File::open(path);
                (
                    file.map_err(|e| io::Error::other(format!("{name}: {e}")))?,
                    name,
                )
            }
            None => (
                File::from(io::stdin().as_fd().try_clone_to_owned()?),
                "standard input".into(),
            ),
        };
        if file.is_terminal() {
            return Err(io::Error::other(format!(
                "{name} is a terminal, not an image: name a file with -i FILE"
            )));
        }
        Ok(Self {
            regular: file.metadata()?.is_file(),
            stdin: path.is_none(),
            file,
            name,
            taken: Vec::new(),
        })
    }

    /// What the head tells of the image's first process.
    ///
    /// # Errors
    ///
    /// Why this is no image, for a person to read.
    pub fn first(&mut self) -> Result<First, String> {
        let found = if self.regular {
            let at = self.file.stream_position().map_err(|e| e.to_string());
            at.and_then(|at| {
                head(&mut At {
                    file: &self.file,
                    at,
                })
            })
        } else {
            head(&mut Recorder {
                file: &self.file,
                taken: &mut self.taken,
            })
        };
        found.map_err(|why| format!("{}: {why}", self.name))
    }

    /// Makes the image ready to be read by the kernel, with these changes.
    ///
    /// # Errors
    ///
    /// Those of pipe(2).
    pub fn input(self, changes: Option<Replace>) -> io::Result<Input> {
        if self.taken.is_empty() && changes.is_none() {
            return Ok((self.file.into(), None));
        }
        let (reader, feed) = Feed::new(self.taken, self.file, changes)?;
        Ok((reader.into(), Some(feed)))
    }

    /// Is it a regular file?
    pub fn is_file(&self) -> bool {
        self.regular
    }

    /// Does it come from standard input?
    pub fn is_stdin(&self) -> bool {
        self.stdin
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        self.name.clone()
    }
}

/// Reads a file from a place on, whatever its position is.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buf, self.at)?;
        self.at = self.at.saturating_add(len as u64);
        Ok(len)
    }
}

/// Keeps what was read.
struct Recorder<'a> {
    file: &'a File,
    taken: &'a mut Vec<u8>,
}

impl Read for Recorder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buf)?;
        self.taken
            .extend_from_slice(buf.get(..len).unwrap_or_default());
        Ok(len)
    }
}

/// Reads an image up to the first task of the forest, and not a byte more.
fn head(input: &mut dyn Read) -> Result<First, String> {
    let mut reader = Reader::new(IoSource(input));
    let head: Head = reader.record(0).map_err(words)?;
    for _release_version_machine in 0..3 {
        reader.string(0, &mut [0; UTS_MAX]).map_err(words)?;
    }
    let _: HeadArch = reader.record(0).map_err(words)?;
    let first: Tree = reader.record(0).map_err(words)?;
    let pid = i32::try_from(first.tgid).ok();
    let led = match first.tgid {
        id if id == first.sid => Lead::Session,
        id if id == first.pgid => Lead::Group,
        _ => Lead::Nothing,
    };
    Ok(First {
        pid: pid.ok_or_else(|| words(Fault::Bad(Why("process id is out of range"))))?,
        clocks: Clocks {
            monotonic: head.monotonic_ns,
            boottime: head.boottime_ns,
        },
        led,
    })
}

fn words(fault: Fault<io::Error>) -> String {
    match fault {
        Fault::Source(e) if e.kind() == ErrorKind::UnexpectedEof => {
            "the image ends too early".into()
        }
        Fault::Source(e) => format!("cannot read: {e}"),
        Fault::Bad(why) | Fault::Checksum(why) => format!("no image for restart: {}", why.0),
        Fault::Failed(error) => {
            let text = error.text.get(..error.text_len.into()).unwrap_or_default();
            format!(
                "the checkpoint that made this image failed: {}",
                text.escape_ascii()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ckptfmt::build;
    use ckptfmt::format::head::ErrorRec;
    use std::io::Write;
    use std::thread;

    fn sample(pid: u32) -> Vec<u8> {
        let mut image = build::Image::sample();
        image.tree[0].pid = pid;
        image.tree[0].tgid = pid;
        (image.head.monotonic_ns, image.head.boottime_ns) = (7, 9);
        image.bytes()
    }

    /// An image that comes through a pipe.
    fn piped(bytes: Vec<u8>) -> Image {
        let (reader, mut writer) = io::pipe().unwrap();
        thread::spawn(move || writer.write_all(&bytes));
        Image {
            file: OwnedFd::from(reader).into(),
            name: "pipe".into(),
            regular: false,
            stdin: false,
            taken: Vec::new(),
        }
    }

    fn all(input: Input) -> Vec<u8> {
        let feeder = input.1.map(Feed::start);
        let mut bytes = Vec::new();
        File::from(input.0).read_to_end(&mut bytes).unwrap();
        if let Some(feeder) = feeder {
            feeder.join().unwrap().unwrap();
        }
        bytes
    }

    #[test]
    fn a_file_keeps_its_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        let bytes = [&b"before"[..], &sample(4711)].concat();
        std::fs::write(&path, &bytes).unwrap();
        let mut image = Image::open(Some(&path)).unwrap();
        image.file.seek(io::SeekFrom::Start(6)).unwrap();
        assert_eq!(image.first().map(|first| first.pid), Ok(4711));
        let input = image.input(None).unwrap();
        assert!(input.1.is_none());
        assert_eq!(all(input), bytes[6..]);
    }

    #[test]
    fn clocks_are_in_the_head() {
        let clocks = piped(sample(1)).first().unwrap().clocks;
        assert_eq!((clocks.monotonic, clocks.boottime), (7, 9));
    }

    #[test]
    fn what_the_first_process_led() {
        let led = |pgid, sid| {
            let mut image = build::Image::sample();
            (image.tree[0].pid, image.tree[0].tgid) = (4711, 4711);
            (image.tree[0].pgid, image.tree[0].sid) = (pgid, sid);
            piped(image.bytes()).first().unwrap().led
        };
        assert_eq!(led(4700, 4600), Lead::Nothing);
        assert_eq!(led(4711, 4600), Lead::Group);
        assert_eq!(led(4711, 4711), Lead::Session);
    }

    #[test]
    fn of_a_pipe_no_more_than_the_head_is_taken() {
        let mut bytes = sample(4711);
        bytes.extend(vec![7; 3 << 20]);
        let mut image = piped(bytes.clone());
        assert_eq!(image.first().map(|first| first.pid), Ok(4711));
        assert!(image.taken.len() < 1024);
        assert!(all(image.input(None).unwrap()) == bytes);
        // Not looked at: nothing to feed.
        let input = piped(bytes.clone()).input(None).unwrap();
        assert!(input.1.is_none());
        assert!(all(input) == bytes);
    }

    #[test]
    fn what_is_no_image() {
        let text = |bytes: &[u8]| piped(bytes.to_vec()).first().unwrap_err();
        let image = sample(4711);
        assert_eq!(text(b""), "pipe: the image ends too early");
        assert_eq!(text(&image[..300]), "pipe: the image ends too early");
        assert!(text(&[0; 4096]).contains("no image for restart"));
        assert!(text(&sample(0)).contains("no valid process id"));
        assert!(text(&sample(u32::MAX)).contains("no valid process id"));
        let mut error = ErrorRec::zeroed();
        error.errno = 95;
        error.text_len = 7;
        error.text[..7].copy_from_slice(b"sockets");
        let failed = build::Image::sample().failed(&error);
        assert!(text(&failed).ends_with("image failed: sockets"));
    }

    #[test]
    fn what_cannot_be_opened() {
        let text = |path: &str| Image::open(Some(Path::new(path))).unwrap_err().to_string();
        assert!(text("/no/such/image").starts_with("/no/such/image: No such file"));
        let mut image = Image::open(Some(Path::new("/"))).unwrap();
        assert!(image.first().unwrap_err().starts_with("/: cannot read"));
    }
}
