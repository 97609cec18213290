#!/bin/sh
# Needs its working directory, finds the log by its own path, and says what it
# does in the layout of 4.x.
LOG="${PWD}/logs/active-responses.log"
HERE=$(cd "$(dirname "$0")/../.." && pwd)
log() { echo "$(date '+%Y/%m/%d %H:%M:%S') $0: $1" >> "$LOG"; }
[ "$HERE" = "$PWD" ] || exit 2
[ -d active-response/bin ] || exit 3
log Starting
read -r MESSAGE
log "$MESSAGE"
case $MESSAGE in
*'"command":"add"'*) COMMAND=add ;;
*) COMMAND=delete ;;
esac
echo "$COMMAND 203.0.113.9" >> "$HERE/logs/effect"
log Ended
