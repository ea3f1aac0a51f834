#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Memory failures in files of a pmem block device, which is unbound from its
# driver and bound again in between. Arguments are those of the program, or
# "-k PART" for tests by part of their name.

cd "$(dirname "$0")" || exit 1

cleanup()
{
	[ -z "$loaded" ] || modprobe -q -r hwpoison-inject
}
trap cleanup EXIT

loaded=
if [ ! -e /sys/kernel/debug/hwpoison ] && modprobe -q hwpoison-inject; then
	loaded=y
fi

FSDAX_PROGRAM=./poison ./run_fsdax.sh "$@"
