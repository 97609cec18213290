#!/bin/sh
# Prints before it works, and after.
echo "Active response starting ..."
read -r MESSAGE
echo "got ${#MESSAGE} bytes"
case $MESSAGE in
*'"command":"add"'*)
    echo '{"version":1,"origin":{"name":"chatty.sh","module":"active-response"},"command":"check_keys","parameters":{"keys":["203.0.113.9"]}}'
    read -r ANSWER
    echo "adding"
    echo "add 203.0.113.9" >> logs/effect
    ;;
*)
    echo "deleting"
    echo "delete 203.0.113.9" >> logs/effect
    ;;
esac
echo "done"
