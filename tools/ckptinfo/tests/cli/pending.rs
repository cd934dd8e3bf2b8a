// SPDX-License-Identifier: GPL-2.0

//! How the tool shows pending signals and interval timers.

use ckptfmt::build::Image;

use super::json;
use super::run;
use super::shows;

#[test]
fn pending_signals_and_timers() {
    let image = Image::sample();
    let texts = [
        "  signals blocked    SIGUSR1 signal 34\n",
        "  signals pending    3\n",
        "    SIGUSR1          for the task: tkill by process 100, user 0\n",
        "    signal 34        for the process: sigqueue by process 7, user 1000, value 0x2a\n",
        "    signal 36        for the process: timer 2, value 0x7\n",
        "  timer real         250.000 ms left, every 2.000 s\n",
        "    signal 38        for the task: timer 9, value 0x8\n",
        "  POSIX timers       4\n",
        "    timer 0          real time: 3.000 s left, once; SIGALRM, value 0x0; moves with the clock\n",
        "    timer 2          monotonic: 500000 ns left, every 1.000 ms; signal 36, value 0x7; pending, 41 times\n",
        "    timer 5          CPU time of thread 100: stopped; signal 37, value 0x0, to thread 100\n",
        "    timer 9          monotonic: stopped; signal 38, value 0x8, to thread 101; pending, 1 times\n",
    ];
    shows(&image, &texts);
    let value = json(&image.bytes());
    let pending = value["tasks"][0]["signals"]["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 3);
    assert_eq!(pending[2]["timer"], 2);
    assert_eq!(pending[2]["cause"], "timer");
    let posix = value["tasks"][0]["posix_timers"].as_array().unwrap();
    assert_eq!(posix.len(), 4);
    assert_eq!(posix[1]["id"], 2);
    assert_eq!(posix[1]["remaining_ns"], "500000");
    assert_eq!(posix[1]["pending"], true);
    assert_eq!(posix[2]["thread"], 100);
    assert_eq!(posix[3]["thread"], 101);
    assert_eq!(pending[0]["signal"], "SIGUSR1");
    assert_eq!(pending[0]["queue"], "task");
    assert_eq!(pending[0]["code"], -6);
    let second = &pending[1];
    assert_eq!(second["number"], 34);
    assert_eq!(second["queue"], "process");
    assert_eq!(second["cause"], "sigqueue");
    assert_eq!((&second["pid"], &second["uid"]), (&7.into(), &1000.into()));
    assert_eq!(second["value"], "0x2a");
    let timers = value["tasks"][0]["timers"].as_object().unwrap();
    assert_eq!(timers.len(), 1);
    assert_eq!(timers["real"]["remaining_ns"], "250000000");
    assert_eq!(timers["real"]["interval"], "2.000 s");
}

#[test]
fn an_image_without_them_shows_none() {
    let bytes = Image::minimal().bytes();
    let ran = run(&[], &bytes);
    assert_eq!(ran.status, 0);
    for title in ["signals pending", "timer real", "POSIX timers"] {
        assert!(!ran.out.contains(title), "{title:?} is in:\n{}", ran.out);
    }
    let value = json(&bytes);
    assert_eq!(
        value["tasks"][0]["signals"]["pending"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(value["tasks"][0]["timers"].as_object().unwrap().len(), 0);
}

#[test]
fn a_long_queue_is_cut_in_the_tree_only() {
    let mut image = Image::sample();
    image.posix.drain(..3);
    image.pending = vec![image.pending[1]; 100];
    image.settle();
    shows(
        &image,
        &[
            "signals pending    100\n",
            "    ...              see --json\n",
        ],
    );
    let ran = run(&[], &image.bytes());
    assert_eq!(ran.out.matches("sigqueue").count(), 64);
    let value = json(&image.bytes());
    assert_eq!(
        value["tasks"][0]["signals"]["pending"]
            .as_array()
            .unwrap()
            .len(),
        100
    );
}
