"""Objects that are right and objects that are wrong, for the models and for the API server's schema."""

from __future__ import annotations

from dataclasses import dataclass

KEY = {"hash": "a" * 64, "prefix": "flc_service_", "lastFour": "abcd"}
URL = "http://127.0.0.1:9000"
TLS = {"certificateRefs": [{"name": "cert"}]}


def listener(name: str = "http", port: int = 80, **more: object) -> dict:
    return {"name": name, "port": port, **more}


def gateway(*listeners: dict, **more: object) -> dict:
    return {"listeners": list(listeners) or [listener()], **more}


def path(kind: str, value: str) -> dict:
    return {"matches": [{"path": {"type": kind, "value": value}}]}


@dataclass(frozen=True)
class Good:
    name: str
    kind: str
    spec: dict


@dataclass(frozen=True)
class Bad:
    """``by``: who refuses it at the API server: its schema, its CEL rules, or only our own check."""

    name: str
    kind: str
    spec: dict
    path: str
    by: str = "schema"


GOOD = (
    Good("smallest gateway", "GatewayConfig", gateway()),
    Good("https", "GatewayConfig", gateway(listener(protocol="HTTPS", tls=TLS, http3=True))),
    Good("one port on two addresses", "GatewayConfig",
         gateway(listener("a", address="127.0.0.1"), listener("b", address="127.0.0.2"))),
    Good("HTTPS listeners on one port", "GatewayConfig", gateway(
        listener("a", protocol="HTTPS", tls=TLS, hostnames=["a.example.com"]),
        listener("b", protocol="HTTPS", tls=TLS, hostnames=["b.example.com"]))),
    Good("all of tls", "GatewayConfig", gateway(listener(protocol="HTTPS", http3=True, http3Port=443, tls={
        "certificateFiles": [{"certificate": "/tls/chain.pem", "key": "/tls/key.pem"}], "minVersion": "1.2",
        "maxVersion": "1.3", "cipherSuites": ["ECDHE-RSA-AES128-GCM-SHA256"], "curves": ["P-256"],
        "alpn": ["h2"], "clientValidation": {"caCertificateFile": "/tls/ca.pem", "crlFile": "/tls/ca.crl",
                                             "optional": True, "forward": ["Cert"]}}))),
    Good("redirect", "GatewayConfig", gateway(listener(redirectToHttps={"exceptPaths": ["/.well-known/"]}))),
    Good("plans", "GatewayConfig", gateway(plans=[{"name": "free", "requests": 60, "burst": 120}])),
    Good("defaults inside a gateway", "GatewayConfig",
         gateway(apiKeys={}, logging={"accessLog": {}}, requestId={}, limits={}, exposure={}, retry={},
                 timeouts={}, tracing={"endpoint": "http://collector.example.com"})),
    Good("defaults inside an upstream", "Upstream", {
        "loadBalancing": {}, "circuitBreaker": {}, "tls": {}, "healthChecks": {"active": {}, "passive": {}}}),
    Good("defaults inside a route", "Route", {"timeouts": {}, "retry": {}, "auth": {}, "async": {}}),
    Good("smallest route", "Route", {}),
    Good("url backend", "Route", {"backends": [{"url": URL}]}),
    Good("service backend", "Route", {"backends": [{"kind": "Service", "name": "s", "port": 80}]}),
    Good("template", "Route", path("Template", "/users/{id}/files/{path=**}")),
    Good("every character of a path", "Route", path("Exact", "/~aZ0-._!$&'()*+,;=:@[]%C3%BC%zz/...")),
    Good("nothing but slashes", "Route", path("Exact", "//")),
    Good("nothing but slashes, and what follows", "Route", path("Template", "//{rest=**}")),
    Good("slashes at the end of a prefix", "Route", path("Prefix", "/a//")),
    Good("anything in a regex", "Route", path("Regex", "/a b|//.{2}")),
    Good("regex", "Route", path("Regex", r"/v[0-9]+/(a|b)[[:alpha:]]\pL(?i:x)")),
    Good("presence of a header", "Route", {"matches": [{"headers": [{"name": "x", "type": "Present"}]}]}),
    Good("async", "Route", {"async": {"maxAttempts": 3}}),
    Good("regex rewrite", "Route", {"rewrite": {"path": {"type": "Regex", "pattern": "^/a", "value": "/b"}}}),
    Good("inline plugin", "Route", {"plugins": [{"type": "cors", "config": {"any": [1, {"thing": None}]}}]}),
    Good("inline limit", "Route", {"rateLimit": {"requests": 5}}),
    Good("url", "Backend", {"url": "https://[::1]:8443/"}),
    Good("canary", "Backend", {"upstream": "u", "canary": {"name": "v", "weight": 10}}),
    Good("sidecars", "GatewayConfig", gateway(
        mode="Sidecar", allowedServiceAccounts=[{"namespace": "apps"}, {"namespace": "b", "name": "c"}])),
    Good("the application beside a sidecar", "Upstream",
         {"type": "Sidecar", "targets": [{"host": "localhost", "port": 8000}]}),
    Good("sticky cookie", "Upstream", {"targets": [{"host": "::1", "port": 1}], "loadBalancing": {
        "policy": "Maglev", "hashOn": {"type": "Cookie", "name": "s", "cookieTtl": "1h"}}}),
    Good("a canary for who asks for it, and for good", "Backend", {"upstream": "u", "canary": {
        "name": "v", "weight": 0, "header": {"name": "x"}, "cookie": {"name": "y", "value": "1"}, "sticky": {"name": "z"}}}),
    Good("a Unix socket without a port", "Upstream",
         {"targets": [{"host": "unix:///run/apps/a.sock"}, {"host": "10.0.0.1", "port": 1}]}),
    Good("every way to balance", "Upstream", {"loadBalancing": {
        "policy": "LeastRequest", "choices": 3, "slowStart": {"window": "1s"}, "zoneAware": {}}}),
    Good("zones in order", "Upstream",
         {"zones": [{"name": "a"}, {"name": "b", "priority": 1}], "loadBalancing": {"zoneAware": {}}}),
    Good("zones with weights", "Upstream", {"zones": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}]}),
    Good("every way to connect", "Upstream", {"protocol": "Auto", "dns": {}, "connection": {"tcpKeepalive": {}}}),
    Good("a TCP check with text", "Upstream",
         {"healthChecks": {"active": {"type": "TCP", "send": "PING\r\n", "receive": "+PONG"}}}),
    Good("cookies, copies and stickiness", "Route", {
        "matches": [{"cookies": [{"name": "a", "value": "1"}, {"name": "b", "type": "Present"}]}],
        "mirrors": [{"backend": {"url": URL}}], "sticky": {"type": "SourceIP"}}),
    Good("hedged retries", "Route", {"retry": {"hedge": True, "perTryTimeout": "1s"}}),
    Good("a retry budget", "Backend", {"url": URL, "circuitBreaker": {"retryBudget": {}}}),
    Good("plugin", "Plugin", {"type": "key-auth", "targets": [{"kind": "Tenant", "name": "t"}]}),
    Good("key", "ApiKey", {**KEY, "expiresAt": "2030-01-01T00:00:00Z", "allowedCidrs": ["10.0.0.0/8"]}),
    Good("tenant", "Tenant", {"hosts": ["*.example.com"], "corsOrigins": ["https://app.example.com"]}),
    Good("quotas", "Tenant", {"quotas": [
        {"name": "month", "limit": 1, "window": "720h", "policy": "Redis"},
        {"name": "odd", "limit": 1, "window": "90m"},
    ]}),
    Good("rate limit service", "GatewayConfig", gateway(rateLimitService={"url": "http://ratelimit:8081"})),
)  # fmt: skip

BAD = (
    Bad("no listener", "GatewayConfig", {"listeners": []}, "spec.listeners"),
    Bad("https without tls", "GatewayConfig", gateway(listener(protocol="HTTPS")), "spec.listeners[0].tls", "cel"),
    Bad("http with tls", "GatewayConfig", gateway(listener(tls=TLS)), "spec.listeners[0].tls", "cel"),
    Bad("names twice", "GatewayConfig", gateway(listener(), listener(port=81)), "spec.listeners"),
    Bad("ports twice", "GatewayConfig", gateway(listener("a"), listener("b")), "spec.listeners", "cel"),
    Bad("one port with and without tls", "GatewayConfig",
        gateway(listener("a"), listener("b", protocol="HTTPS", tls=TLS)), "spec.listeners", "cel"),
    Bad("tls without a certificate", "GatewayConfig", gateway(listener(protocol="HTTPS", tls={})),
        "spec.listeners[0].tls.certificateRefs", "cel"),
    Bad("no version of tls", "GatewayConfig",
        gateway(listener(protocol="HTTPS", tls={**TLS, "minVersion": "1.3", "maxVersion": "1.2"})),
        "spec.listeners[0].tls.maxVersion", "cel"),
    Bad("cipher suites of a version that is off", "GatewayConfig",
        gateway(listener(protocol="HTTPS", tls={**TLS, "minVersion": "1.3", "cipherSuites": ["AES128-SHA"]})),
        "spec.listeners[0].tls.cipherSuites", "cel"),
    Bad("client certificates of no authority", "GatewayConfig",
        gateway(listener(protocol="HTTPS", tls={**TLS, "clientValidation": {}})),
        "spec.listeners[0].tls.clientValidation.caCertificateRef", "cel"),
    Bad("a list of revocations without its authority", "GatewayConfig",
        gateway(listener(protocol="HTTPS", tls={**TLS, "clientValidation": {
            "caCertificateRef": {"name": "ca"}, "crlFile": "/ca.crl"}})),
        "spec.listeners[0].tls.clientValidation.crlFile", "cel"),
    Bad("http/3 without tls 1.3", "GatewayConfig",
        gateway(listener(protocol="HTTPS", http3=True, tls={**TLS, "maxVersion": "1.2"})),
        "spec.listeners[0].http3", "cel"),
    Bad("a port of http/3 without it", "GatewayConfig",
        gateway(listener(protocol="HTTPS", http3Port=443, tls=TLS)), "spec.listeners[0].http3Port", "cel"),
    Bad("a redirect to itself", "GatewayConfig",
        gateway(listener(protocol="HTTPS", tls=TLS, redirectToHttps={})),
        "spec.listeners[0].redirectToHttps", "cel"),
    Bad("sidecars that are exposed", "GatewayConfig",
        gateway(mode="Sidecar", exposure={"kind": "NodePort"}), "spec.mode", "cel"),
    Bad("a sidecar's application elsewhere", "Upstream",
        {"type": "Sidecar", "targets": [{"host": "10.0.0.1", "port": 8000}]}, "spec.targets", "cel"),
    Bad("plans twice", "GatewayConfig", gateway(plans=[{"name": "p", "requests": 1}] * 2), "spec.plans"),
    Bad("a key format longer than a key's prefix", "GatewayConfig",
        gateway(apiKeys={"formats": [{"prefix": "abcdefghijklmnop_abcdefghijklmn_a_"}]}),
        "spec.apiKeys.formats[0].prefix"),
    Bad("key formats twice", "GatewayConfig", gateway(apiKeys={"formats": [{"prefix": "a_"}] * 2}),
        "spec.apiKeys.formats"),
    Bad("port as text", "GatewayConfig", gateway({"name": "a", "port": "80"}), "spec.listeners[0].port"),
    Bad("port too large", "GatewayConfig", gateway(listener(port=65536)), "spec.listeners[0].port"),
    Bad("no address", "GatewayConfig", gateway(listener(address="localhost")), "spec.listeners[0].address", "us"),
    Bad("credentials for any origin", "GatewayConfig", gateway(cors={"allowCredentials": True}),
        "spec.cors.allowCredentials", "cel"),
    Bad("relative exact path", "Route", path("Exact", "a"), "spec.matches[0].path.value", "cel"),
    Bad("relative prefix", "Route", path("Prefix", "a"), "spec.matches[0].path.value", "cel"),
    Bad("relative template", "Route", path("Template", "a/{b}"), "spec.matches[0].path.value", "cel"),
    Bad("half a segment", "Route", path("Template", "/a{b}"), "spec.matches[0].path.value", "cel"),
    Bad("rest in the middle", "Route", path("Template", "/{a=**}/b"), "spec.matches[0].path.value", "cel"),
    Bad("one name twice", "Route", path("Template", "/{a}/{a}"), "spec.matches[0].path.value", "us"),
    Bad("query in a path", "Route", path("Exact", "/a?b=c"), "spec.matches[0].path.value", "cel"),
    Bad("open group", "Route", path("Regex", "/(a"), "spec.matches[0].path.value", "us"),
    Bad("lookahead", "Route", path("Regex", "/(?=a)"), "spec.matches[0].path.value", "us"),
    Bad("backreference", "Route", path("Regex", r"/(a)\1"), "spec.matches[0].path.value", "us"),
    Bad("too many repeats", "Route", path("Regex", "/a{1001}"), "spec.matches[0].path.value", "us"),
    Bad("nested repeats", "Route", path("Regex", "/((a{100}){10}){10}"), "spec.matches[0].path.value", "us"),
    Bad("empty rewrite pattern", "Route", {"rewrite": {"path": {"type": "Regex", "pattern": "", "value": "/"}}},
        "spec.rewrite.path.pattern"),
    Bad("query in a template", "Route", path("Template", "/a?b={c}"), "spec.matches[0].path.value", "cel"),
    Bad("fragment in a prefix", "Route", path("Prefix", "/a#b"), "spec.matches[0].path.value", "cel"),
    Bad("a blank in a path", "Route", path("Exact", "/a b"), "spec.matches[0].path.value", "cel"),
    Bad("an accent in a prefix", "Route", path("Prefix", "/café/"), "spec.matches[0].path.value", "cel"),
    Bad("a backslash in a template", "Route", path("Template", "/a\\b/{c}"), "spec.matches[0].path.value", "cel"),
    Bad("a quote in a path", "Route", path("Exact", '/"'), "spec.matches[0].path.value", "cel"),
    Bad("a parameter in a prefix", "Route", path("Prefix", "/users/{id}"), "spec.matches[0].path.value", "cel"),
    Bad("an escaped letter in a path", "Route", path("Exact", "/%41"), "spec.matches[0].path.value", "cel"),
    Bad("an escaped slash in a prefix", "Route", path("Prefix", "/a%2Fb"), "spec.matches[0].path.value", "cel"),
    Bad("an escaped dot in a template", "Route", path("Template", "/%2e/{a}"), "spec.matches[0].path.value", "cel"),
    Bad("a dot segment in a path", "Route", path("Exact", "/a/../b"), "spec.matches[0].path.value", "cel"),
    Bad("a dot segment at the end", "Route", path("Prefix", "/a/."), "spec.matches[0].path.value", "cel"),
    Bad("two slashes in a path", "Route", path("Exact", "/a//"), "spec.matches[0].path.value", "cel"),
    Bad("two slashes in a prefix", "Route", path("Prefix", "//a"), "spec.matches[0].path.value", "cel"),
    Bad("two slashes in a template", "Route", path("Template", "//{a}"), "spec.matches[0].path.value", "cel"),
    Bad("line break in a path", "Route", path("Exact", "/a\nb"), "spec.matches[0].path.value"),
    Bad("line break in a regex", "Route", path("Regex", "/a\nb"), "spec.matches[0].path.value"),
    Bad("pseudo-header", "Route", {"matches": [{"headers": [{"name": ":path", "value": "/"}]}]},
        "spec.matches[0].headers[0].name"),
    Bad("NUL in a header value", "Route", {"matches": [{"headers": [{"name": "x", "value": "a\0"}]}]},
        "spec.matches[0].headers[0].value"),
    Bad("tab in a query parameter's name", "Route", {"matches": [{"queryParams": [{"name": "\t", "value": "a"}]}]},
        "spec.matches[0].queryParams[0].name"),
    Bad("line break in a rewritten path", "Route",
        {"rewrite": {"path": {"type": "ReplaceFull", "value": "/a\nb"}}}, "spec.rewrite.path.value"),
    Bad("all weights zero", "Route", {"backends": [{"url": URL, "weight": 0}]}, "spec.backends", "cel"),
    Bad("line break in the host of a health check", "Upstream",
        {"healthChecks": {"active": {"host": "a\nb"}}}, "spec.healthChecks.active.host"),
    Bad("line break in the path of a health check", "Upstream",
        {"healthChecks": {"active": {"path": "/a\nb"}}}, "spec.healthChecks.active.path"),
    Bad("long regex", "Route", path("Regex", "a" * 1025), "spec.matches[0].path.value"),
    Bad("value of a present header", "Route",
        {"matches": [{"headers": [{"name": "x", "type": "Present", "value": "1"}]}]},
        "spec.matches[0].headers[0].value", "cel"),
    Bad("value of an absent query parameter", "Route",
        {"matches": [{"queryParams": [{"name": "x", "type": "Absent", "value": "1"}]}]},
        "spec.matches[0].queryParams[0].value", "cel"),
    Bad("header with an underscore", "Route", {"matches": [{"headers": [{"name": "x_y"}]}]},
        "spec.matches[0].headers[0].name"),
    Bad("name and url", "Route", {"backends": [{"name": "b", "url": URL}]}, "spec.backends[0]", "cel"),
    Bad("neither name nor url", "Route", {"backends": [{}]}, "spec.backends[0]", "cel"),
    Bad("service without port", "Route", {"backends": [{"kind": "Service", "name": "s"}]},
        "spec.backends[0].port", "cel"),
    Bad("backend with port", "Route", {"backends": [{"name": "b", "port": 1}]}, "spec.backends[0].port", "cel"),
    Bad("url with a path", "Route", {"backends": [{"url": URL + "/a"}]}, "spec.backends[0].url"),
    Bad("plugin by name and type", "Route", {"plugins": [{"name": "a", "type": "b"}]}, "spec.plugins[0]", "cel"),
    Bad("config of a named plugin", "Route", {"plugins": [{"name": "a", "config": {"b": 1}}]},
        "spec.plugins[0].config", "cel"),
    Bad("regex rewrite without pattern", "Route", {"rewrite": {"path": {"type": "Regex", "value": "/"}}},
        "spec.rewrite.path.pattern", "cel"),
    Bad("prefix rewrite of a regex", "Route",
        path("Regex", "/a") | {"rewrite": {"path": {"type": "ReplacePrefix", "value": "/"}}},
        "spec.rewrite.path.type", "cel"),
    Bad("wildcard as new host", "Route", {"rewrite": {"host": "*.example.com"}}, "spec.rewrite.host"),
    Bad("scopes without authentication", "Route", {"auth": {"mode": "None", "scopes": ["a"]}},
        "spec.auth.mode", "cel"),
    Bad("plan and numbers", "Route", {"rateLimit": {"plan": "p", "requests": 1}}, "spec.rateLimit", "cel"),
    Bad("upper case host", "Route", {"hosts": ["Example.com"]}, "spec.hosts[0]"),
    Bad("no duration", "Route", {"timeouts": {"request": "30"}}, "spec.timeouts.request"),
    Bad("duration out of order", "Route", {"timeouts": {"request": "1s1h"}}, "spec.timeouts.request", "us"),
    Bad("nothing to send to", "Backend", {}, "spec", "cel"),
    Bad("two things to send to", "Backend", {"url": URL, "upstream": "u"}, "spec", "cel"),
    Bad("no verification and a CA", "Backend",
        {"url": URL, "tls": {"insecureSkipVerify": True, "caCertificateRef": {"name": "a"}}},
        "spec.tls.insecureSkipVerify", "cel"),
    Bad("hash without a name", "Upstream",
        {"loadBalancing": {"policy": "RingHash", "hashOn": {"type": "Header"}}},
        "spec.loadBalancing.hashOn.name", "cel"),
    Bad("hash without a hashing policy", "Upstream",
        {"loadBalancing": {"hashOn": {"type": "SourceIP"}}}, "spec.loadBalancing.hashOn", "cel"),
    Bad("a target without a port", "Upstream", {"targets": [{"host": "a"}]}, "spec.targets[0].port", "cel"),
    Bad("a Unix socket with a port", "Upstream",
        {"targets": [{"host": "unix:///run/a.sock", "port": 1}]}, "spec.targets[0].port", "cel"),
    Bad("a relative Unix socket", "Upstream", {"targets": [{"host": "unix://run/a.sock"}]}, "spec.targets[0].host"),
    Bad("a Unix socket that climbs", "Upstream",
        {"targets": [{"host": "unix:///run/../etc/a.sock"}]}, "spec.targets[0].host"),
    Bad("choices of a hash", "Upstream", {"loadBalancing": {"policy": "Maglev", "choices": 2}},
        "spec.loadBalancing.choices", "cel"),
    Bad("a ring of another policy", "Upstream", {"loadBalancing": {"ringSize": 2}},
        "spec.loadBalancing.ringSize", "cel"),
    Bad("a bound without a hash", "Upstream", {"loadBalancing": {"maxLoadPercent": 150}},
        "spec.loadBalancing.maxLoadPercent", "cel"),
    Bad("a hash that knows zones", "Upstream", {"loadBalancing": {"policy": "Maglev", "zoneAware": {}}},
        "spec.loadBalancing.zoneAware", "cel"),
    Bad("weights for some zones", "Upstream", {"zones": [{"name": "a", "weight": 1}, {"name": "b"}]},
        "spec.zones", "cel"),
    Bad("weights and the own zone", "Upstream",
        {"zones": [{"name": "a", "weight": 1}], "loadBalancing": {"zoneAware": {}}}, "spec.zones", "cel"),
    Bad("zones twice", "Upstream", {"zones": [{"name": "a"}] * 2}, "spec.zones"),
    Bad("a gRPC check over HTTP/1.1", "Upstream", {"healthChecks": {"active": {"type": "GRPC"}}},
        "spec.healthChecks.active.type", "cel"),
    Bad("the service of an HTTP check", "Upstream", {"healthChecks": {"active": {"service": "a"}}},
        "spec.healthChecks.active.service", "cel"),
    Bad("text for an HTTP check", "Upstream", {"healthChecks": {"active": {"receive": "a"}}},
        "spec.healthChecks.active.send", "cel"),
    Bad("the host of a TCP check", "Upstream", {"healthChecks": {"active": {"type": "TCP", "host": "a"}}},
        "spec.healthChecks.active.host", "cel"),
    Bad("a path beside health checks", "Backend",
        {"url": URL, "healthCheckPath": "/", "healthChecks": {}}, "spec.healthCheckPath", "cel"),
    Bad("stickiness to nothing", "Route", {"sticky": {}}, "spec.sticky.name", "cel"),
    Bad("the lifetime of a header", "Route", {"sticky": {"type": "Header", "name": "a", "cookieTtl": "1s"}},
        "spec.sticky.cookieTtl", "cel"),
    Bad("an absent cookie", "Route", {"matches": [{"cookies": [{"name": "a", "type": "Absent"}]}]},
        "spec.matches[0].cookies[0].type"),
    Bad("a hedge without a moment", "Route", {"retry": {"hedge": True}}, "spec.retry.hedge", "cel"),
    Bad("retries by budget and by number", "Backend",
        {"url": URL, "circuitBreaker": {"maxRetries": 1, "retryBudget": {}}},
        "spec.circuitBreaker.retryBudget", "cel"),
    Bad("targets twice", "Upstream", {"targets": [{"host": "a", "port": 1}] * 2}, "spec.targets"),
    Bad("anon key above row security", "ApiKey", {**KEY, "audience": "anon", "bypassesRowSecurity": True},
        "spec.bypassesRowSecurity", "cel"),
    Bad("plain key", "ApiKey", {**KEY, "hash": "flc_service_secret"}, "spec.hash"),
    Bad("no CIDR", "ApiKey", {**KEY, "allowedCidrs": ["10.0.0.0/99"]}, "spec.allowedCidrs[0]", "us"),
    Bad("time without zone", "ApiKey", {**KEY, "expiresAt": "2030-01-01T00:00:00"}, "spec.expiresAt"),
    Bad("quotas twice", "Tenant", {"quotas": [{"name": "a", "limit": 1}] * 2}, "spec.quotas"),
    Bad("a window that Redis does not count", "Tenant",
        {"quotas": [{"name": "a", "limit": 1, "window": "90m", "policy": "Redis"}]}, "spec.quotas[0].window", by="cel"),
    Bad("a quota of nothing", "Tenant", {"quotas": [{"name": "a", "limit": 0}]}, "spec.quotas[0].limit"),
    Bad("plugin type with a space", "Plugin", {"type": "key auth"}, "spec.type"),
)  # fmt: skip


def document(kind: str, spec: dict) -> dict:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": spec,
    }
