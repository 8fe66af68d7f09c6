#!/bin/sh
# What is broken is a file; a real workflow would restart something.
set -eu
rm -f "$(dirname "$0")/../broken"
echo "mended: $1"
