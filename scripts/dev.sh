#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs what is missing, builds the driver and runs it: dev.sh TARGET [ARG...]
set -u
{ # read whole before it runs, so that it may be edited meanwhile
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/checkpoint-linux
log=$cache/logs/driver-build.log

# What make(1) hands down must not reach the kernel's own make.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKE_TERMOUT MAKE_TERMERR NAME PEER CMD

case ${1:-} in
fmt | stat | clean | distclean) level=tools ;;
*) level=all ;;
esac

case ${1:-} in
clean | distclean)
	# Needs nothing installed; the driver itself is rebuilt when it is next used.
	[ -d "$cache" ] || exit 0
	exec 9>>"$cache/lock" || exit 1
	flock -n 9 || { echo "dev.sh: another run uses $cache; end it, or wait for its end." >&2; exit 1; }
	rm -rf "$cache/build" "$cache/guest-target" "$cache/guest-bin" "$cache/guest-share" \
		"$cache/tools-target" "$cache/logs" "$cache/state"
	# Not the lock: whoever waits for it has it open.
	[ "$1" = distclean ] && find "$cache" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
	exit 0
	;;
esac

bash "$top/scripts/bootstrap.sh" "$level" || exit 1

PATH=$PATH:/usr/bin
mkdir -p "$cache/logs" || { echo "dev.sh: cannot create $cache; set XDG_CACHE_HOME to a directory of yours." >&2; exit 1; }
if ! [ -x "$cache/tools-target/debug/ckptdev" ]; then
	echo "building the driver (once, about half a minute)"
fi
if ! cargo build --quiet --manifest-path "$top/tools/Cargo.toml" -p ckptdev \
	--target-dir "$cache/tools-target" >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	if grep -qiE 'failed to (download|get|fetch)|could not resolve|spurious network|index.crates.io' "$log"; then
		echo "dev.sh: cargo cannot get the crates that the driver tools/driver needs; check the network, or name a mirror of crates.io in ~/.cargo/config.toml, and try again." >&2
		exit 1
	fi
	echo "dev.sh: the driver tools/driver does not build; the compiler's output is above and in $log." >&2
	exit 1
fi
exec "$cache/tools-target/debug/ckptdev" --top "$top" --cache "$cache" "$@"
}
