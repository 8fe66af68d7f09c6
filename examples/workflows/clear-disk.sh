#!/bin/sh
# Name what is old under the temporary folder: clear-disk.sh DAYS
set -eu
echo "on ${RO_TARGET_NAME}, older than $1 days:"
find "${TMPDIR:-/tmp}" -xdev -type f -mtime "+$1" 2>/dev/null | head -n 20 || true
