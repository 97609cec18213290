#!/bin/bash
# In the pattern of Wazuh 5, with jq and no handshake.
read -r EVENT
IP=$(jq -r '.source.ip' <<< "$EVENT")
case $(jq -r '.command' <<< "$EVENT") in
enable) echo "add $IP" >> logs/effect ;;
disable) echo "delete $IP" >> logs/effect ;;
*) exit 1 ;;
esac
