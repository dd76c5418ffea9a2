"""How the other programs' sides of `peers.py` talk: wishes as JSON lines on stdin, what was measured on stdout."""
import json
import sys


def serve(peer):
    """Answers each line by the method of `peer` that its `do` names."""
    for line in sys.stdin:
        wish = json.loads(line)
        print(json.dumps(getattr(peer, wish["do"])(wish)), flush=True)
