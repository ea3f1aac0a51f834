#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Pinned pages of device-dax devices. Existing devices serve where they have the
# right alignment; for the others the namespace of $DAX_DEV is reconfigured, and
# made a block device again in the end.

cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./dax_lib.sh

require_root
if DAX_DEV=$(find_device) && command -v ndctl > /dev/null; then
	DAX_NAMESPACE=$(namespace_of "$DAX_DEV")
	export DAX_NAMESPACE
	trap 'ndctl create-namespace -f -e "$DAX_NAMESPACE" -m fsdax -M mem > /dev/null' EXIT
fi

run_program ./devdax "$@"
