#!/usr/bin/env python3
"""Words in Python; looks whether there is something to read too."""
import sys

action, user, address, alert, rule, location = sys.argv[1:7]
assert sys.stdin.read() == ""
if action not in ("add", "delete"):
    sys.exit(1)
print("working on", address)
with open("logs/effect", "a") as effect:
    print(action, address, file=effect)
