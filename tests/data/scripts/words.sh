#!/bin/sh
# As OSSEC's own are written: words, and a log found from where the file lies.
ACTION=$1
USER=$2
IP=$3

LOCAL=$(dirname $0)
cd $LOCAL
cd ../
PWD=$(pwd)

# Logging the call
echo "$(date) $0 $1 $2 $3 $4 $5 $6 $7 $8" >> ${PWD}/../logs/active-responses.log

if [ "x${IP}" = "x" ]; then
    echo "$0: Missing argument <action> <user> (ip)"
    exit 1
fi

if [ "x${ACTION}" != "xadd" -a "x${ACTION}" != "xdelete" ]; then
    echo "$0: invalid action: ${ACTION}"
    exit 1
fi
echo "${ACTION} ${IP}" >> ${PWD}/../logs/effect
exit 0
