#!/usr/bin/env python3
"""A custom script in the pattern of Wazuh 5, stateful."""
import json
import sys

event = json.loads(sys.stdin.readline())
address = event["source"]["ip"]
words = {"enable": "add", "disable": "delete"}
if event["command"] == "enable":
    assert event["wazuh"]["active_response"]["type"] == "stateful"
    keys = {
        "version": 1,
        "origin": {"name": "v5.py", "module": "active-response"},
        "command": "check_keys",
        "parameters": {"keys": [address]},
    }
    print(json.dumps(keys), flush=True)
    reply = json.loads(sys.stdin.readline())
    if reply["command"] != "continue":
        sys.exit(0)
with open("logs/effect", "a") as effect:
    effect.write(words[event["command"]] + " " + address + "\n")
