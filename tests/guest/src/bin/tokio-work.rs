// SPDX-License-Identifier: GPL-2.0

//! A program of tokio's: tasks on several threads, channels, and a pipe that the event
//! loop watches. It knows nothing of checkpoints. It has timers only when an argument asks
//! for them: tokio keeps points in time since the boot in its own memory, which mean
//! something else after a reboot.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

const WORKERS: u64 = 4;
const ROUNDS: u64 = 150;
/// A timer that ends within a run, and one that never does.
const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

fn mix(mut x: u64) -> u64 {
    for _ in 0..2000 {
        x = x
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        x ^= x >> 29;
    }
    x
}

/// Takes numbers, and answers each one later.
async fn worker(mut orders: mpsc::Receiver<(u64, oneshot::Sender<u64>)>, sleeps: bool) {
    while let Some((number, answer)) = orders.recv().await {
        if number % 7 == 0 && sleeps {
            tokio::time::sleep(SHORT).await;
        } else if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
        let _ = answer.send(mix(number));
    }
}

/// What is answered; a timer that goes off too early shows as 0.
async fn wait(answered: oneshot::Receiver<u64>, sleeps: bool) -> u64 {
    if !sleeps {
        return answered.await.unwrap_or(0);
    }
    match tokio::time::timeout(LONG, answered).await {
        Ok(answer) => answer.unwrap_or(0),
        Err(_) => 0,
    }
}

async fn run(sleeps: bool) -> std::io::Result<()> {
    let (mut tell, mut told) = pipe::pipe()?;
    let echo = tokio::spawn(async move {
        let mut sum = 0u64;
        let mut bytes = [0; 8];
        while told.read_exact(&mut bytes).await.is_ok() {
            sum = sum.rotate_left(5) ^ u64::from_le_bytes(bytes);
        }
        sum
    });
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (send, orders) = mpsc::channel(2);
        tokio::spawn(worker(orders, sleeps));
        workers.push(send);
    }
    for round in 0..ROUNDS {
        let mut answers = Vec::new();
        for (place, send) in (0..).zip(&workers) {
            let (answer, answered) = oneshot::channel();
            let _ = send.send((round * WORKERS + place, answer)).await;
            answers.push(answered);
        }
        let mut sum = 0u64;
        for answered in answers {
            sum = sum.wrapping_add(wait(answered, sleeps).await);
        }
        tell.write_all(&sum.to_le_bytes()).await?;
        if round % 10 == 0 {
            println!("{round} {sum:016x}");
        }
    }
    drop(tell);
    println!("{:016x}", echo.await.unwrap_or(0));
    Ok(())
}

fn main() -> std::io::Result<()> {
    let sleeps = std::env::args().nth(1).is_some();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(3).enable_io();
    if sleeps {
        builder.enable_time();
    }
    builder.build()?.block_on(run(sleeps))
}
