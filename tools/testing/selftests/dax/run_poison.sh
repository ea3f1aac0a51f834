#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Memory failures in files of a pmem block device, which is unbound from its
# driver and bound again in between and in the end. Arguments are those of the
# program, or "-k PART" for tests by part of their name.

cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./dax_lib.sh

require_root
require_device

# Pages that were poisoned are good ones again.
renew_device()
{
	local device driver

	device=$(readlink -f "/sys/block/${DAX_DEV##*/}/device")
	driver=$(readlink -f "$device/driver")
	echo "${device##*/}" > "$driver/unbind"
	echo "${device##*/}" > "$driver/bind"
}

cleanup()
{
	renew_device
	[ -z "$loaded" ] || modprobe -q -r hwpoison-inject
}
trap cleanup EXIT

loaded=
if [ ! -e /sys/kernel/debug/hwpoison ] && modprobe -q hwpoison-inject; then
	loaded=y
fi

FSDAX_PROGRAM=./poison ./run_fsdax.sh "$@"
