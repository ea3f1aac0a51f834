#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Pages behind a DAX mapping, got at by their address, on a pmem block device.
# Arguments are those of the program, or "-k PART" for tests by part of their name.

cd "$(dirname "$0")" || exit 1

FSDAX_PROGRAM=./access ./run_fsdax.sh "$@"
