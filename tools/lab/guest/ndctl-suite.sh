#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: tests of an ndctl build tree that /host holds.
#
# ndctl-suite SHARE SOURCE BUILD MULTIPLIER TEST...
#
# SHARE is the host directory at /host; SOURCE and BUILD are at or below it.
# Meson's logs and the log of the preparations appear in /run/lab/ndctl.

set -euo pipefail

readonly OUT=/run/lab/ndctl
readonly SUITE=ndctl:dax

fail()
{
	echo "lab: $*" >&2
	exit 1
}

# A copy under the tree's own path: what the tests write stays in the guest,
# and on a disk, so that their direct I/O pins pages, as it would not on tmpfs.
copy()
{
	mkdir -p "$1"
	tar -C "/host${1#"$share"}" --exclude-vcs -cf - . | tar -C "$1" -xf -
}

copy_tree()
{
	mount -o remount,ro /host
	copy "$source"
	[[ $build/ == "$source"/* ]] || copy "$build"
	mkdir -p "$OUT" "$build/meson-logs"
	mount --bind "$OUT" "$build/meson-logs"
	PATH=$build/ndctl:$build/daxctl:$build/cxl:$PATH
}

# The ACPI region comes with an empty label area; without labels it would be
# one namespace that cannot be divided.
prepare_pmem()
{
	modprobe -a nfit nd_e820 nd_pmem nd_btt dax_pmem device_dax
	udevadm settle
	ndctl disable-region -b ACPI.NFIT all
	ndctl init-labels -f -b ACPI.NFIT all
	ndctl enable-region -b ACPI.NFIT all
	ndctl list -b ACPI.NFIT -Rui
	ndctl list -b e820 -Nu
}

check_guest()
{
	local missing
	missing=$(ldd "$build/ndctl/ndctl" "$build/daxctl/daxctl" | grep 'not found' | sort -u) || true
	[ -z "$missing" ] || fail "the guest lacks a library of this ndctl: ${missing//[$'\t\n']/ }"
	journalctl -k -q -n 1 | grep -q . || fail "journald does not run in the guest"
	modinfo -n libnvdimm | grep -q /updates/ || fail "nfit_test is not installed in the guest"
}

# Only the lines of single tests are shown; their sum is the host's to print.
run_tests()
{
	cd "$build"
	meson test --no-rebuild --timeout-multiplier "$multiplier" --suite "$SUITE" "$@" 2>&1 |
		tee "$OUT/meson.log" | grep --line-buffered -E '^ *[0-9]+/[0-9]+ ' || true
	[ -s "$OUT/testlog.json" ] || fail "meson ran no test: $(tail -n 1 "$OUT/meson.log")"
}

share=${1%/} source=$2 build=$3 multiplier=$4
shift 4
copy_tree
check_guest
prepare_pmem >"$OUT/prepare.log" 2>&1 || fail "pmem set-up failed: $(tail -n 1 "$OUT/prepare.log")"
run_tests "$@"
