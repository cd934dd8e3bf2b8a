# SPDX-License-Identifier: GPL-2.0
#
# The only entry. Every target but `help` goes through scripts/dev.sh, which
# installs what is missing, builds the driver (tools/driver) and runs it.

DEV := bash scripts/dev.sh

.DEFAULT_GOAL := help
.PHONY: help demo kernel kernel-debug test test-debug kunit shell run bench lint fmt stat clean distclean

help:
	@echo 'checkpoint(2) and restart(2) for Linux 7.3, in Rust'
	@echo
	@echo '  make demo              install, fetch, build, boot; play the documented session'
	@echo '  make test              every test: cargo, KUnit (UML and QEMU), guest programs'
	@echo '  make test NAME=a,b     these guest tests only'
	@echo '  make test CKPT_SEED=N  other moments and changes than usual, or those of a run before'
	@echo '  make test CKPT_TIMEOUT=S  at most so many seconds for a boot with all its tests'
	@echo '  make test-debug        the guest tests on a kernel with KASAN, lockdep, kmemleak'
	@echo '  make kunit             the KUnit suites, natively on user-mode Linux'
	@echo '  make kernel            only patch, configure and build the kernel'
	@echo '  make kernel-debug      the same for the kernel of test-debug'
	@echo '  make shell             a shell in the guest, the tools on its path'
	@echo '  make run CMD=...       one command in the guest, its output, the console checked'
	@echo '  make bench             instructions of checkpoint and restart, goals, a picture'
	@echo '  make bench QUICK=1     without the rows that need a second kernel'
	@echo '  make bench DOC=1       and put the table and the picture into the documentation'
	@echo '  make bench PEER=FILE   and the CPU time of that program (criu) for the same job'
	@echo '  make lint | make fmt   formatting, clippy, unsafe rules, checkpatch | reformat'
	@echo '  make stat              lines that the patches add, unsafe blocks per file'
	@echo '  make clean             drop build output (distclean: the kernel source too)'
	@echo
	@echo '  KERNEL_SRC=DIR or KERNEL_TARBALL=FILE: a 7.3.y kernel of yours;'
	@echo '  otherwise Debian'"'"'s linux-source-7.3 is used. Everything that is made goes to'
	@echo '  $${XDG_CACHE_HOME:-~/.cache}/checkpoint-linux. Start reading at README.md.'

demo kernel kernel-debug kunit shell lint fmt stat clean distclean test-debug:
	@$(DEV) $@ $(if $(NAME),--name '$(NAME)')

test:
	@$(DEV) test $(if $(NAME),--name '$(NAME)')

run:
	@$(DEV) run --command '$(subst ','\'',$(value CMD))'

bench:
	@$(DEV) bench $(if $(PEER),--peer '$(PEER)') $(if $(QUICK),--quick) $(if $(DOC),--document)
