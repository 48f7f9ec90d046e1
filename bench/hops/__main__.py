"""Start of the hops: `python -m bench.hops FOLDER PORT UPSTREAM`. The launcher ends all processes with this one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from imagegateway.stack.config import binary
from imagegateway.stack.free_port import free_port
from jinja2 import Template

from bench.processes import ROOT, listens

_NATS = 'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n'


def _main(folder: Path, port: str, upstream: str) -> None:
    nats, router, forms, providers = free_port(), folder / "router", folder / "forms", folder / "providers"
    (folder / "nats.conf").write_text(_NATS.format(port=nats, store=folder / "jetstream"))
    (folder / "media").mkdir()
    envoy = Template((Path(__file__).parent / "envoy.yaml.j2").read_text()).render(
        port=port, router=router, forms=forms, descriptors=ROOT / "generated/imagegateway/v1/descriptors.binpb"
    )
    (folder / "envoy.yaml").write_text(envoy)
    subprocess.Popen([binary("nats-server"), "-c", str(folder / "nats.conf")])
    module = [sys.executable, "-m"]
    subprocess.Popen([*module, "bench.hops.providers", str(providers), str(folder / "media"), upstream])
    _wait(nats)
    subprocess.Popen([*module, "bench.hops.router", str(router), str(forms), str(providers), str(nats)])
    while not (forms.exists() and providers.exists()):
        time.sleep(0.02)
    threads = str(min(os.cpu_count() or 1, 4))
    options = ["--disable-hot-restart", "--log-level", "error", "--concurrency", threads]
    subprocess.Popen([binary("envoy"), "-c", str(folder / "envoy.yaml"), *options]).wait()


def _wait(port: int) -> None:
    while not listens(port):
        time.sleep(0.02)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
