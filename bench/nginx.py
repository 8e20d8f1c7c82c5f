"""The same work by nginx (Debian's package), as far as open nginx can do it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.harness import BenchError, accepts, process, require, until

_CONFIG = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  map $http_apikey $known {{ default 0; "{key}" 1; }}
  limit_req_zone $http_apikey zone=keys:10m rate=1000000r/s;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  server {{
    listen 127.0.0.1:{port};
    location /open {{ proxy_pass http://up; }}
    location /key {{
      if ($known = 0) {{ return 401; }}
      proxy_pass http://up;
    }}
    location /limit {{
      if ($known = 0) {{ return 401; }}
      limit_req zone=keys burst=1000000 nodelay;
      proxy_pass http://up;
    }}
  }}
}}
"""


@contextlib.contextmanager
def running_nginx(folder: Path, port: int, upstream: int, key: str) -> Iterator[int]:
    """nginx with one worker, which knows one key; yields the worker's process id."""
    path = folder / "nginx.conf"
    path.write_text(_CONFIG.format(folder=folder, port=port, upstream=upstream, key=key))
    command = [require("nginx", "nginx"), "-c", str(path), "-p", str(folder)]
    with process(command, folder / "nginx.out") as master:
        until(lambda: accepts(port), 30, f"nginx on port {port}")
        workers = psutil.Process(master.pid).children()
        if len(workers) != 1:
            raise BenchError(f"nginx has {len(workers)} workers, not one")
        yield workers[0].pid
