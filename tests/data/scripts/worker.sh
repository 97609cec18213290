#!/bin/sh
# Plays firewall-drop: as a worker, or, without the word, once. What it is to do
# wrong stands in logs/fault; each life is a line in logs/lives, each order that
# it carries out one in logs/done.
say() { printf '%s{"version":1,"origin":{},"command":"%s","parameters":%s}\n' "$1" "$2" "$3" >&"$out"; }
keys() { say "$1" check_keys '{"keys":["203.0.113.9"]}'; }
result() { echo "$2" >> logs/done; say "$1" result '{"status":"applied","detail":"as VERSION"}'; }

if [ "$1" != --worker ]; then
    out=1
    read -r line
    keys ''
    read -r line
    result '' "$line"
    exit 0
fi
out=0
echo $$ >> logs/lives
fault=$(cat logs/fault 2> /dev/null)
case "$fault" in
    always-*) fault=${fault#always-} ;;
    *) rm -f logs/fault ;;
esac
while read -r number line; do
    case "$fault-$line" in
        -*'"command":"add"'* | dies-late-*'"command":"add"'*) keys "$number " ;;
        garbage-*'"command":"add"'*) echo 'no number' >&0 ;;
        unknown-*'"command":"add"'*) say '999999 ' result '{"status":"applied"}' ;;
        dies-*'"command":"add"'*) exit 3 ;;
        hangs-*'"command":"add"'*) kill -STOP $$ ;;
        *'"command":"add"'*) keys "$number " ;;
        dies-late-*'"command":"continue"'*) kill -KILL $$ ;;
        *'"command":"continue"'* | *'"command":"delete"'*) result "$number " "$line" ;;
    esac
done
