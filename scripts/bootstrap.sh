#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs what a build needs and the machine lacks: bootstrap.sh [tools|all]
#
# "tools" is enough to build the Rust tools; "all" adds the kernel's compilers,
# QEMU, bindgen and virtme-ng. When everything is there it takes no time.
set -u
level=${1:-all}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/checkpoint-linux
log=$cache/logs/bootstrap.log

die() { echo "bootstrap: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# What is looked for | the Debian package that brings it. A path is a file, a word a command.
need_tools='
gcc|gcc
make|make
/usr/include/stdio.h|libc6-dev
'
need_all='
/usr/bin/rustc|rustc-web
/usr/lib/rustlib/src/rust/library/core/src/lib.rs|rust-web-src
/usr/bin/clippy-driver|rust-web-clippy
cargo-fmt|rustfmt-web
clang-19|clang-19
ld.lld-19|lld-19
llvm-objcopy-19|llvm-19
/usr/lib/llvm-19/lib/libclang.so|libclang-19-dev
flex|flex
bison|bison
bc|bc
/usr/include/libelf.h|libelf-dev
/usr/include/openssl/ssl.h|libssl-dev
cpio|cpio
pahole|pahole
/bin/busybox|busybox-static
qemu-system-x86_64|qemu-system-x86
xz|xz-utils
zstd|zstd
go|golang-go
/usr/bin/python3|python3
ensurepip|python3-venv
depmod|kmod
rsync|rsync
strace|strace
sqlite3|sqlite3
patch|patch
perl|perl
tar|tar
/etc/ssl/certs/ca-certificates.crt|ca-certificates
'

# A package that brings $1, unless it is there already.
present() {
	case $1 in
	ensurepip) /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null ;;
	/*) [ -e "$1" ] ;;
	depmod) have depmod || [ -x /sbin/depmod ] ;;
	*) have "$1" ;;
	esac
}

missing_of() {
	local line
	while IFS='|' read -r what package; do
		[ -n "$what" ] || continue
		present "$what" || echo "$package"
	done <<<"$1" | sort -u
}

missing=$(missing_of "$need_tools")
[ "$level" = all ] && missing="$missing $(missing_of "$need_all")"
# Any cargo will do; the kernel itself is compiled by Debian's rustc.
have cargo || missing="$missing cargo-web"
missing=$(echo $missing)

mkdir -p "$cache/logs" || die "cannot create $cache; set XDG_CACHE_HOME to a directory of yours."

if [ -n "$missing" ]; then
	have apt-get ||
		die "this machine has no apt-get; install by hand what these Debian packages bring, and run make again: $missing (rustc must be 1.85 or later, at /usr/bin/rustc, with its library source)."
	[ "$(id -u)" = 0 ] ||
		die "installing needs root; run this once as root: apt-get update && apt-get install --no-install-recommends $missing"
	echo "installing with apt-get: $missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update >"$log" 2>&1 || true # a stale extra repository is no reason to stop
	# shellcheck disable=SC2086
	if ! apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; then
		tail -n 5 "$log" >&2
		die "apt-get could not install $missing; look at the lines above and at $log, check the network and the package sources, and run make again."
	fi
	hash -r
	left="$(missing_of "$need_tools")"
	[ "$level" = all ] && left="$left $(missing_of "$need_all")"
	left=$(echo $left)
	[ -z "$left" ] ||
		die "apt-get installed without error, but what these packages bring is still not found: $left; install it by hand."
	have cargo || die "no cargo on the PATH; install Debian's cargo-web or a toolchain from rustup."
fi
[ "$level" = all ] || exit 0

if ! [ -x "$cache/bin/bindgen" ]; then
	echo "building bindgen (once, about two minutes)"
	log=$cache/logs/bindgen.log
	if ! cargo install bindgen-cli --locked --root "$cache" --target-dir "$cache/tools-target/bindgen" >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		die "cargo could not install bindgen-cli; look at the lines above and at $log, check that crates.io is reached, and run make again."
	fi
	rm -rf "$cache/tools-target/bindgen"
fi

if ! [ -x "$cache/vng/bin/vng" ]; then
	echo "installing virtme-ng (once)"
	log=$cache/logs/virtme-ng.log
	rm -rf "$cache/vng"
	if ! { /usr/bin/python3 -m venv "$cache/vng" && "$cache/vng/bin/pip" install --disable-pip-version-check 'virtme-ng==1.42'; } >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		rm -rf "$cache/vng"
		die "pip could not install virtme-ng; look at the lines above and at $log, check that PyPI is reached, and run make again."
	fi
fi
exit 0
