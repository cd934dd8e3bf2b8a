// SPDX-License-Identifier: GPL-2.0

// A Go program: goroutines on several threads, channels, a garbage collector at work, and
// a pipe that the runtime's poller watches. It knows nothing of checkpoints. It has timers
// only when an argument asks for them: Go keeps points in time since the boot in its own
// memory, which mean something else after a reboot.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	workers = 4
	rounds  = 150
)

func mix(x uint64) uint64 {
	for i := 0; i < 2000; i++ {
		x = x*6364136223846793005 + 1442695040888963407
		x ^= x >> 29
	}
	return x
}

type order struct {
	number uint64
	answer chan uint64
}

// Takes numbers, and answers each one later; what it has made is garbage then.
func worker(orders <-chan order, left *sync.WaitGroup, sleeps bool) {
	defer left.Done()
	for o := range orders {
		if o.number%7 == 0 && sleeps {
			time.Sleep(time.Millisecond)
		} else if o.number%7 == 0 {
			runtime.Gosched()
		}
		heap := make(map[uint64][]byte)
		for i := uint64(0); i < 50; i++ {
			heap[mix(o.number+i)] = make([]byte, 100+i)
		}
		sum := mix(o.number)
		for key, bytes := range heap {
			sum += key ^ uint64(len(bytes))
		}
		o.answer <- sum
	}
}

// Sums the lines that come through a pipe.
func listen(from *os.File, total chan<- uint64) {
	sum := uint64(0)
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var number uint64
		fmt.Sscan(lines.Text(), &number)
		sum = sum*31 + number
	}
	total <- sum
}

func main() {
	runtime.GOMAXPROCS(4)
	sleeps := len(os.Args) > 1
	told, tell, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	total := make(chan uint64)
	go listen(told, total)
	var left sync.WaitGroup
	var desks []chan order
	for i := 0; i < workers; i++ {
		desk := make(chan order, 2)
		desks = append(desks, desk)
		left.Add(1)
		go worker(desk, &left, sleeps)
	}
	for round := uint64(0); round < rounds; round++ {
		var answers []chan uint64
		for place, desk := range desks {
			answer := make(chan uint64, 1)
			desk <- order{round*workers + uint64(place), answer}
			answers = append(answers, answer)
		}
		// Nothing ever comes from it, unless a timer goes off too early.
		var late <-chan time.Time
		if sleeps {
			late = time.After(time.Hour)
		}
		sum := uint64(0)
		for _, answer := range answers {
			select {
			case number := <-answer:
				sum = sum<<5 ^ number
			case <-late:
				fmt.Println(round, "late")
			}
		}
		fmt.Println(round, sum)
		fmt.Fprintln(tell, sum)
	}
	for _, desk := range desks {
		close(desk)
	}
	left.Wait()
	tell.Close()
	fmt.Println("all", <-total)
}
