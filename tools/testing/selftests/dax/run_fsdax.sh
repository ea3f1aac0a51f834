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

# Some programs make the namespace another device, for a while.
if command -v ndctl > /dev/null; then
	DAX_NAMESPACE=$(namespace_of "$DAX_DEV")
	export DAX_NAMESPACE
fi

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

# The programs leave these to whoever unmounts what is on them.
remove_mappers()
{
	local device

	for device in /dev/mapper/dax-selftest-*; do
		[ ! -e "$device" ] || dmsetup remove --retry "${device##*/}"
	done
}

cleanup()
{
	local dir busy=

	for dir in "$DAX_DIR"/*/; do
		[ -d "$dir" ] || continue
		# mountpoint(1) does not know those whose device is gone.
		grep -qF " ${dir%/} " /proc/mounts && ! umount "$dir" && busy=y
		rmdir "$dir"
	done
	rmdir "$DAX_DIR"
	remove_mappers
	if [ -n "$busy" ]; then
		return	# Who is stuck would be waited for.
	elif [ -b "$DAX_DEV" ]; then
		wipefs -qa "$DAX_DEV"
		renew_device
	elif [ -n "${DAX_NAMESPACE:-}" ]; then
		ndctl create-namespace -f -e "$DAX_NAMESPACE" -m fsdax -M mem > /dev/null
	fi
}
trap cleanup EXIT

run_program "${FSDAX_PROGRAM:-./fsdax}" "$@"
