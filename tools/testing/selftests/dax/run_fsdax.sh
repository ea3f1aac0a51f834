#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Pinned pages against operations of filesystems, on a pmem block device.
# Arguments are those of the program, or "-k PART" for tests by part of their
# name. FSDAX_PROGRAM names another program that needs the same surroundings.

cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./dax_lib.sh

require_root
require_device

DAX_DIR=$(mktemp -d /tmp/dax-selftest.XXXXXX)
export DAX_DIR

# Removing the device, the kernel looks whether all of its pages are idle and as
# they were in the beginning (CONFIG_DEBUG_VM). What was poisoned is good again.
renew_device()
{
	local device driver

	device=$(readlink -f "/sys/block/${DAX_DEV##*/}/device")
	[ -e "$device/driver" ] || return
	driver=$(readlink -f "$device/driver")
	echo "${device##*/}" > "$driver/unbind"
	echo "${device##*/}" > "$driver/bind"
}

cleanup()
{
	local dir

	for dir in "$DAX_DIR"/*/; do
		mountpoint -q "$dir" && umount "$dir"
		rmdir "$dir"
	done
	rmdir "$DAX_DIR"
	wipefs -qa "$DAX_DEV"
	renew_device
}
trap cleanup EXIT

run_program "${FSDAX_PROGRAM:-./fsdax}" "$@"
