"""A gRPC client that resolves ``xds:///`` by itself; run as a process of its own.

gRPC reads GRPC_XDS_BOOTSTRAP once, before its first channel. For every line on
standard input it makes one call and prints the answer.
"""

from __future__ import annotations

import sys

import grpc


def main() -> None:
    channel = grpc.insecure_channel("xds:///echo.example.com:50051")
    call = channel.unary_unary("/echo.Echo/Say")
    for line in sys.stdin:
        answer = call(line.strip().encode(), wait_for_ready=True, timeout=20)
        print(answer.decode(), flush=True)
    channel.close()


if __name__ == "__main__":
    main()
