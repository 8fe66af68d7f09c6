#!/bin/sh
echo "$1: changed the first half"
echo "$1: the second half cannot be changed" >&2
exit 3
