#!/usr/bin/env bash
# With jq, also for the line that it prints.
set -euo pipefail
read -r message
command=$(jq -r .command <<< "$message")
address=$(jq -r '.parameters.alert.data.srcip // empty' <<< "$message")
[ -n "$address" ] || exit 1
case $command in
add)
    jq -nc --arg key "$address" --arg name "${0##*/}" \
        '{version: 1, origin: {name: $name, module: "active-response"}, command: "check_keys", parameters: {keys: [$key]}}'
    read -r answer
    [ "$(jq -r .command <<< "$answer")" = continue ] || exit 0
    ;;
delete) ;;
*) exit 1 ;;
esac
echo "$command $address" >> logs/effect
