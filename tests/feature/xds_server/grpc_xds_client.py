"""A gRPC client that resolves ``xds:///`` by itself; run as a process of its own.

gRPC reads GRPC_XDS_BOOTSTRAP once, before its first channel. For every line on
standard input, a method and a word, it makes one call and prints the answer, or the
status code when the call fails.
"""

from __future__ import annotations

import sys

import grpc


def main() -> None:
    channel = grpc.insecure_channel(f"xds:///{sys.argv[1]}")
    for line in sys.stdin:
        method, _, word = line.strip().partition(" ")
        call = channel.unary_unary(method)
        try:
            # a route that does not forward ends a call that waits for readiness, too
            answer = call(word.encode(), wait_for_ready=True, timeout=60).decode()
        except grpc.RpcError as error:
            answer = error.code().name
        print(answer, flush=True)
    channel.close()


if __name__ == "__main__":
    main()
