#!/bin/sh
# A custom script in the pattern of 4.x: message, keys, reply, work.
read -r message
printf '%s\n' "$message" > logs/message
printf '%s\n' '{"version":1,"origin":{"name":"handshake.sh","module":"active-response"},"command":"check_keys","parameters":{"keys":["203.0.113.9"]}}'
read -r reply
printf '%s\n' "$reply" > logs/reply
case "$reply" in
*'"command":"continue"'*)
    echo acted > logs/effect
    exit 3
    ;;
esac
