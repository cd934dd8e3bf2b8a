#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Plays the session that the 2008 document shows, as a person would see it, and
# compares every line: demo.sh BINDIR, with ckpt and rstr in BINDIR. Images are
# written to the current directory. To be run on a kernel that has just booted:
# the first image is number 1.

bin=${1:?usage: demo.sh BINDIR}
out=/tmp/cr-rest.out
prompt='orenl:~/test$'
differ=0
pid=

trap '[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null' EXIT

# What the person types.
typed() {
	printf '%s %s\n' "$prompt" "$*"
}

# What the document says in the margin.
note() {
	printf '\t\t\t\t<-- %s\n' "$*"
}

wrong() {
	differ=$((differ + 1))
	printf '!!! %s\n' "$*"
}

# Shows a file, and compares its lines with the arguments.
shows() {
	file=$1
	shift
	: >demo.seen
	[ ! -e "$file" ] || cat "$file" >demo.seen
	cat demo.seen
	while IFS= read -r line || [ -n "$line" ]; do
		if [ $# -eq 0 ]; then
			wrong "a line too many: $line"
			continue
		fi
		[ "$line" = "$1" ] || wrong "documented is: $1"
		shift
	done <demo.seen
	for line in "$@"; do
		wrong "missing is: $line"
	done
	rm -f demo.seen
}

# Waits until the program in the background has written a line, or is gone.
settle() {
	i=0
	while [ $i -lt 300 ] && kill -0 "$pid" 2>/dev/null; do
		! grep -q "$1" "$out" 2>/dev/null || return 0
		sleep 0.1
		i=$((i + 1))
	done
}

# Runs a program as a shell at a terminal would: ctrl-c ends it.
run() {
	exec env --default-signal=INT "$@"
}

interrupt() {
	note "ctrl-c"
	kill -INT "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	[ $? -eq 130 ] || wrong "the program was not running any more"
	pid=
}

checkpoint() {
	typed './ckpt > out.1'
	rm -f "$out"
	run "$bin/ckpt" >out.1 </dev/null 2>/dev/null &
	pid=$!
	settle '(ret = '
	interrupt
	typed "cat $out"
	shows "$out" 'hello, world!' 'world, hello!' "(ret = $1)"
	echo
}

checkpoint 1
checkpoint 2

note "now change the contents of the file"
typed "sed -i 's/world, hello!/xxxx/' $out"
sed -i 's/world, hello!/xxxx/' "$out"
typed "cat $out"
shows "$out" 'hello, world!' 'xxxx' '(ret = 2)'
echo

note "and do the restart"
typed './rstr < out.1'
run "$bin/rstr" <out.1 >demo.rstr 2>&1 &
pid=$!
settle '(ret = 0)'
typed "ps -o comm= -p $pid"
comm=$(cat "/proc/$pid/comm" 2>/dev/null)
printf '%s\n' "$comm"
[ "$comm" = ckpt ] || wrong "documented is: ckpt"
interrupt
[ ! -s demo.rstr ] || cat demo.rstr
! grep -q 'should not reach here' demo.rstr || wrong "rstr came back"
rm -f demo.rstr
typed "cat $out"
shows "$out" 'hello, world!' 'world, hello!' '(ret = 0)'
echo

if [ $differ -eq 0 ]; then
	echo "demo: every line was as documented"
	exit 0
fi
echo "demo: $differ lines differ"
exit 1
