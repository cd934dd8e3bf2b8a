// SPDX-License-Identifier: GPL-2.0

//! The programs.

/// A program: name, file, arguments. [`INPUT`] stands for a file of text, [`BC`] for one
/// of numbers. A file without a path is a program beside this one.
pub type Program = (&'static str, &'static str, &'static [&'static str]);

/// A text of 2 MiB. Beside it is `tree`, a directory with 25 names of it, and `c`, one
/// with a small C project.
pub const INPUT: &str = "INPUT";
/// What bc is to compute.
pub const BC: &str = "BC";
/// What a person writes: jobs, a pipeline with jobs of its own, and traps. No line of the
/// output depends on who is first, and none on how often a trap runs: one that ends a `wait`
/// in the moment in which a job ends loses one of both in bash. So `ring` asks until it is
/// answered, while the shell waits for no job by name, and what ends `wait $idle` comes when
/// no job ends.
const SCRIPT: &str = r#"
trap 'echo end $told' EXIT
trap 'told=yes; kill -USR2 $ring 2>/dev/null' USR1
work() { local s=0 i; for ((i = 0; i < 1500; i++)); do ((s = (s * 31 + i * $1) % 1000003)); done; echo $1 $s; }
ring() { trap heard=1 USR2; for n in {1..20}; do heard=; until [[ $heard ]]; do kill -USR1 $$; sleep 0.01; done; done; exit 7; }
ring & ring=$!
sleep 1000 & idle=$!
for n in 1 2 3; do (set -- $(work $n); exit $(($2 % 100))) & p="$p $!"; done
{ for n in 4 5 6; do work $n & done; wait; } | sort | while read n s; do echo "$n: $s"; done
while kill -0 $ring 2>/dev/null; do sleep 0.01; done
for q in $ring $p; do wait $q; echo ended $?; done
(while sleep 0.05; do kill -USR1 $$; done) & nudge=$!
wait $idle; echo woken $?
trap '' USR1
kill $nudge $idle; wait $nudge; echo nudge $?; wait $idle; echo idle $?
"#;
/// Programs whose files are what they were when an image of them is restarted later.
pub const PROGRAMS: &[Program] = &[
    (
        "awk",
        "/usr/bin/awk",
        &[
            "BEGIN { for (i = 1; i <= 1200000; i++) { s = (s * 31 + i) % 1000003; \
           if (i % 3000 == 0) print i, s } }",
        ],
    ),
    (
        "perl",
        "/usr/bin/perl",
        &[
            "-e",
            "my (%h, $s); for my $i (1..120000) { $h{$i % 977} .= chr(65 + $i % 26); \
             $s = ($s * 31 + $i) % 1000003; print \"$i $s\\n\" unless $i % 500 } \
             print length($h{$_}), $h{$_} =~ tr/A//, \"\\n\" for sort keys %h",
        ],
    ),
    (
        "python3",
        "/usr/bin/python3",
        &[
            "-c",
            "import hashlib\nh = hashlib.sha256()\nd = {}\nfor i in range(60000):\n    \
             d[i % 997] = d.get(i % 997, 0) * 31 + i & 0xffffffff\n    \
             h.update(str(d[i % 997]).encode())\n    \
             if i % 1000 == 0: print(i, h.hexdigest())\nprint(sum(d.values()))",
        ],
    ),
    (
        "bash",
        "/bin/bash",
        &[
            "-c",
            "trap 's=$((s + 1))' USR1; for ((i = 0; i < 12000; i++)); do \
             ((s = (s * 31 + i) % 1000003)); ((i % 200)) || { kill -USR1 $$; echo $i $s; }; done; echo $s",
        ],
    ),
    ("sha256sum", "/usr/bin/sha256sum", &[INPUT, INPUT, INPUT]),
    ("gzip", "/bin/gzip", &["-9", "-c", INPUT]),
    (
        "sort",
        "/usr/bin/sort",
        &["--parallel=1", "-S", "64M", INPUT],
    ),
    ("bc", "/usr/bin/bc", &["-l", BC]),
    // Several processes: a pipeline, jobs, workers and their queues.
    (
        "pipeline",
        "/bin/bash",
        &[
            "-c",
            "cat \"$0\" \"$0\" \"$0\" | gzip -6 | gzip -d | tr a-f A-F | sha256sum",
            INPUT,
        ],
    ),
    (
        "jobs",
        "/bin/bash",
        &[
            "-c",
            // Nobody could wait for a job that were lost. The files stay: an image of a moment
            // behind a job has it done.
            "rm -f \"$0\".[123]; for n in 1 2 3; do (for ((i = 0; i < 2500; i++)); do \
             ((s = (s * 31 + i + n) % 1000003)); done; echo $n $s > \"$0.$n\"; exit $n) & \
             p=\"$p $!\"; done; for q in $p; do wait $q; echo $?; done; \
             sort \"$0.1\" \"$0.2\" \"$0.3\"",
            INPUT,
        ],
    ),
    ("script", "/bin/bash", &["-c", SCRIPT]),
    (
        "multiprocessing",
        "/usr/bin/python3",
        &[
            "-c",
            "import multiprocessing\ndef f(n):\n    h = 0\n    for i in range(20000):\n        \
             h = (h * 31 + i * n) % 1000003\n    return h\n\
             with multiprocessing.Pool(3) as pool:\n    \
             print(sum(pool.map(f, range(24), 1)))",
        ],
    ),
    (
        "sqlite3",
        "/usr/bin/sqlite3",
        &[
            ":memory:",
            "begin; create table t (a integer primary key, b text); \
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) \
             insert into t select i, hex(i * 7919 % 65536) from n; \
             update t set b = b || 'x' where a % 3 = 0; commit; \
             select count(*), sum(a), max(b) from t; \
             select substr(b, 1, 2), count(*) from t group by 1 order by 1;",
        ],
    ),
    (
        "tar",
        "/bin/bash",
        &[
            "-c",
            "tar chf - --sort=name --mtime=@0 -C \"${0%/*}\" tree | gzip -1 | sha256sum",
            INPUT,
        ],
    ),
    (
        "sort-threads",
        "/usr/bin/sort",
        &["--parallel=4", "-S", "64M", INPUT, INPUT, INPUT],
    ),
    (
        "python-threads",
        "/usr/bin/python3",
        &[
            "-c",
            "import hashlib, queue, threading\nq, r = queue.Queue(3), {}\n\
             def f():\n    while (n := q.get()) is not None:\n        \
             r[n] = hashlib.sha256(str(n).encode() * 20000).hexdigest()\n\
             ts = [threading.Thread(target=f) for _ in range(3)]\n\
             for t in ts: t.start()\nfor n in range(300): q.put(n)\n\
             for t in ts: q.put(None)\nfor t in ts: t.join()\n\
             for n in sorted(r): print(n, r[n])",
        ],
    ),
    // Tasks, streams over a pair of sockets, threads that wake the loop by its own pair.
    // No timers: those of TIMED have them.
    (
        "asyncio",
        "/usr/bin/python3",
        &[
            "-c",
            "import asyncio, hashlib, socket\n\
             def digest(n):\n    return hashlib.sha256(str(n).encode() * 20000).hexdigest()\n\
             async def produce(q):\n    for n in range(300):\n        await q.put(n)\n        \
             if n % 7 == 0: await asyncio.sleep(0)\n    await q.put(None)\n\
             async def answer(sock):\n    r, w = await asyncio.open_unix_connection(sock=sock)\n    \
             while line := await r.readline():\n        \
             w.write(hashlib.sha256(line).hexdigest().encode() + b'\\n')\n        \
             await w.drain()\n    w.close()\n\
             async def main():\n    a, b = socket.socketpair()\n    \
             q = asyncio.Queue(3)\n    tasks = [asyncio.create_task(produce(q)), \
             asyncio.create_task(answer(b))]\n    \
             r, w = await asyncio.open_unix_connection(sock=a)\n    \
             while (n := await q.get()) is not None:\n        \
             d = await asyncio.to_thread(digest, n)\n        w.write(f'{n} {d}\\n'.encode())\n        \
             print(n, d, (await r.readline()).decode().strip())\n    w.close()\n    \
             await asyncio.gather(*tasks)\nasyncio.run(main())",
        ],
    ),
    ("tokio", "tokio-work", &[]),
    ("go", "goroutines", &[]),
];

/// Programs with timers. They keep points in time since the boot in their own memory, which
/// mean something else after a reboot: their images go on in a time namespace then. Each has
/// timers that end all along its way, and one that must not.
pub const TIMED: &[Program] = &[
    (
        "asyncio-sleeps",
        "/usr/bin/python3",
        &[
            "-c",
            "import asyncio, hashlib\n\
             async def walk(n):\n    d = b''\n    for i in range(30):\n        \
             await asyncio.sleep(0.01)\n        \
             d = hashlib.sha256(d + str(n * i).encode() * 20000).digest()\n    \
             return d.hex()\n\
             async def main():\n    walks = asyncio.gather(*map(walk, range(4)))\n    \
             for d in await asyncio.wait_for(walks, 3600): print(d)\nasyncio.run(main())",
        ],
    ),
    ("tokio-sleeps", "tokio-work", &["sleeps"]),
    ("go-sleeps", "goroutines", &["sleeps"]),
];

/// Programs with files that come and go: each image is restarted in place of what it was
/// taken of, and after a reboot with the files of that moment.
pub const CHANGING: &[Program] = &[
    (
        "make",
        "/bin/bash",
        &[
            "-c",
            "cd \"${0%/*}/c\" && rm -rf out && mkdir out && TMPDIR=$PWD/out make -s -j4 && \
             out/prog",
            INPUT,
        ],
    ),
    // A data base in a file, with its journal. What is in the directory that outlives a
    // reboot is locked by the host: nobody else has this one.
    (
        "sqlite3-file",
        "/bin/bash",
        &[
            "-c",
            "cd \"${0%/*}\" && rm -f db db-journal && sqlite3 -vfs unix-none db \
             'pragma cache_size = 20; create table t (a integer primary key, b text); begin; \
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) \
             insert into t select i, hex(i * 7919 % 65536) from n; commit; begin; \
             update t set b = b || char(120) where a % 3 = 0; delete from t where a % 7 = 0; commit; \
             select count(*), sum(a), max(b) from t; pragma integrity_check;'",
            INPUT,
        ],
    ),
    // One in memory, with its locks.
    (
        "sqlite3-locks",
        "/bin/bash",
        &[
            "-c",
            "rm -rf /tmp/sqlite3-locks && mkdir /tmp/sqlite3-locks && cd /tmp/sqlite3-locks && \
             sqlite3 db 'pragma cache_size = 20; \
             create table t (a integer primary key, b text); begin; \
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) \
             insert into t select i, hex(i * 7919 % 65536) from n; commit; begin; \
             update t set b = b || char(120) where a % 3 = 0; delete from t where a % 7 = 0; commit; \
             select count(*), sum(a), max(b) from t; pragma integrity_check;'",
        ],
    ),
];

/// Of those, the files that outlive a reboot.
const COMING_AND_GOING: &[(&str, &[&str])] = &[
    ("make", &["c/out"]),
    ("sqlite3-file", &["db", "db-journal"]),
];
/// Those with files that do not outlive a reboot.
pub const IN_MEMORY: &[&str] = &["sqlite3-locks"];

/// Files of a program that come and go, and outlive a reboot.
pub fn coming_and_going(program: &Program) -> &'static [&'static str] {
    let entry = COMING_AND_GOING.iter().find(|entry| entry.0 == program.0);
    entry.map_or(&[], |entry| entry.1)
}
