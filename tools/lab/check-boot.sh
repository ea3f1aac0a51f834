# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab check --boot: each patch makes a kernel that boots, and that has DAX. The
# kernel is a small one, config/boot.config, so that a series takes hours and not
# days; what it runs is guest/boot-check.

# boot_image KERNEL: boot it with nothing but the guest image and the script.
# The console is in check/console.
boot_image()
{
	parse_boot --pmem e820:512M --pmem e820:512M
	CMDLINE="console=ttyS0 root=/dev/vda rw init=/bin/bash panic=-1 oops=panic"
	qemu_machine -serial "file:$CHECK/console" \
		-drive "file=$TOP/tools/lab/guest/boot-check,if=virtio,format=raw,readonly=on" \
		-kernel "$1"
	: >"$CHECK/console"
	timeout -k 5 300 "${QEMU[@]}" -append "$CMDLINE -- /dev/vdb" >&2 || [ $? = 124 ]
	if splats "$CHECK/console" || ! grep -q '^boot-check: passed' "$CHECK/console"; then
		tail -n 20 "$CHECK/console"
		return "$CHECK_FOUND"
	fi
}

# check_boot COMMIT: the base builds without a warning in this configuration, so
# any is new. A patch that leaves the kernel as it was need not boot it again.
# No ccache: what is built here is hardly ever built again.
check_boot()
{
	local kernel booted
	check_out "$1"
	kernel=$(objdir boot)/vmlinux
	configure_variant boot >"$CHECK/make.log" 2>&1 ||
		{ tail -n 20 "$CHECK/make.log"; return 1; }
	check_make boot CC=gcc vmlinux >"$CHECK/make.log" 2>&1 ||
		{ tail -n 20 "$CHECK/make.log"; return "$CHECK_FOUND"; }
	warning_lines <"$CHECK/make.log" >"$CHECK/new"
	[ ! -s "$CHECK/new" ] || { cat "$CHECK/new"; return "$CHECK_FOUND"; }
	remark "$(grep -cE '^  (CC|AS) ' "$CHECK/make.log" || true) objects"
	booted=$CHECK/objects/booted-$(cat "$kernel" - <<<"$VERSION" | sha256sum | cut -c 1-40)
	if [ -e "$booted" ]; then
		remark "the kernel is one that has booted"
		return
	fi
	boot_image "$kernel"
	: >"$booted"
}

# check_boots: in a pass of their own, so that each kernel is made from the one
# before it.
check_boots()
{
	local n VERSION	# what decides this verdict, instead of checker_version's
	need_image
	VERSION=$({
		declare -f check_make configure_variant qemu_machine
		cat "$TOP"/tools/lab/{check-boot.sh,config/boot.config,guest/boot-check}
		gcc --version
	} | sha256sum)
	for ((n = FIRST; n < ${#COMMITS[@]}; n++)); do
		check_one "$(printf %04d "$n")" boot \
			"$(check_git rev-parse "${COMMITS[n]}^{tree}")" check_boot "${COMMITS[n]}"
	done
}
