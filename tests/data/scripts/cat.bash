#!/bin/bash
# Reads to the end of its input, knows of no handshake, and notifies.
INPUT_JSON=$(cat)
SRCIP=$(jq -r '.parameters.alert.data.srcip' <<< "$INPUT_JSON")
COMMAND=$(jq -r '.command' <<< "$INPUT_JSON")
echo "$COMMAND $SRCIP" >> logs/effect
