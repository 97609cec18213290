#!/usr/bin/env python3
"""A custom script in the pattern of 4.x, for both commands."""
import json
import sys

message = json.loads(sys.stdin.readline())
address = message["parameters"]["alert"]["data"]["srcip"]
if message["command"] == "add":
    keys = {
        "version": 1,
        "origin": {"name": sys.argv[0], "module": "active-response"},
        "command": "check_keys",
        "parameters": {"keys": [address]},
    }
    print(json.dumps(keys))
    sys.stdout.flush()
    reply = json.loads(sys.stdin.readline())
    if reply["command"] != "continue":
        sys.exit(0)
    # Printing after the reply kills such scripts under 4.x.
    print("working on " + address)
    sys.stdout.flush()
with open("logs/effect", "a") as effect:
    effect.write(message["command"] + " " + address + "\n")
