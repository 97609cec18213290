#!/bin/bash
# As many are written for 4.x: one line, fields cut out of it, the handshake.
read -r INPUT_JSON
COMMAND=$(echo "$INPUT_JSON" | sed -n 's/.*"command":"\([a-z]*\)","parameters".*/\1/p')
SRCIP=$(echo "$INPUT_JSON" | grep -o '"srcip":"[^"]*"' | head -n 1 | cut -d'"' -f4)

if [ "$COMMAND" = "add" ]; then
    printf '{"version":1,"origin":{"name":"%s","module":"active-response"},"command":"check_keys","parameters":{"keys":["%s"]}}\n' \
        "$(basename "$0")" "$SRCIP"
    read -r RESPONSE
    if [[ $RESPONSE != *'"command":"continue"'* ]]; then
        exit 0
    fi
fi
echo "$COMMAND $SRCIP" >> logs/effect
