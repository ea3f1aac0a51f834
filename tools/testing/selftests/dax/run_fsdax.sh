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

cleanup()
{
	local dir

	for dir in "$DAX_DIR"/*/; do
		mountpoint -q "$dir" && umount "$dir"
		rmdir "$dir"
	done
	rmdir "$DAX_DIR"
	wipefs -qa "$DAX_DEV"
}
trap cleanup EXIT

run_program "${FSDAX_PROGRAM:-./fsdax}" "$@"
