"""What the browser is told with each file of the page: above all, to whom it may connect.

A worker takes the policy of its own response, so that one file, which holds the picture, is forbidden every connection.
"""

from __future__ import annotations

from collections.abc import Mapping

WORKER = "worker.js"
SERVICE_WORKER = "sw.js"

POLICIES = {
    "": "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    WORKER: "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'none'",
    SERVICE_WORKER: "default-src 'none'; script-src 'self'; connect-src 'self'",
}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
# What a server may pack: the types above without their charset, and the older name of one.
_TEXTS = sorted({kind.partition(";")[0] for kind in TYPES.values()} - {TYPES[".gz"]} | {"application/javascript"})


def headers_of(path: str) -> Mapping[str, str]:
    """The response headers of one file of the page, its type included.

    Example:
        >>> headers_of("worker.js")["Content-Security-Policy"]
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'none'"
    """
    ending = path[path.rfind(".") :]
    policy = POLICIES.get(path, POLICIES[""])
    return {**ALWAYS, "Content-Security-Policy": policy, "Content-Type": TYPES[ending], "Cache-Control": "no-cache"}


def nginx() -> str:
    """The headers as a file that nginx includes in the ``location`` of the page."""
    always = "".join(f'add_header {name} "{value}" always;\n' for name, value in ALWAYS.items())
    # "add_header" in a block replaces all of the blocks around it, so the policy is chosen by a variable.
    chosen = "".join(
        f'if ($uri ~ /{name.replace(".", "[.]")}$) {{ set $policy "{policy}"; }}\n'
        for name, policy in POLICIES.items()
        if name
    )
    packed = " ".join(kind for kind in _TEXTS if kind != "text/html")  # which nginx always packs
    policy = f'set $policy "{POLICIES[""]}";\n{chosen}{always}add_header Content-Security-Policy $policy always;\n'
    return f"{policy}gzip on;\ngzip_vary on;\ngzip_types {packed};\n"


def apache() -> str:
    """The headers as an ``.htaccess`` file; Apache needs ``mod_headers``."""
    packed = f"AddOutputFilterByType DEFLATE {' '.join(_TEXTS)}"
    lines = ["<IfModule mod_filter.c>", "<IfModule mod_deflate.c>", f"  {packed}", "</IfModule>", "</IfModule>"]
    lines += [f'Header always set {name} "{value}"' for name, value in ALWAYS.items()]
    lines.append(f'Header always set Content-Security-Policy "{POLICIES[""]}"')
    for name, policy in POLICIES.items():
        if name:
            rule = f'  Header always set Content-Security-Policy "{policy}"'
            lines += [f'<Files "{name}">', rule, "</Files>"]
    return "\n".join(["AddType application/manifest+json .webmanifest", "RemoveEncoding .gz", *lines]) + "\n"
