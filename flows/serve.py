"""A Prefect server on this machine, the work pool, the deployments of prefect.yaml and a worker.

    python -m flows.serve [CONFIG]

Everything stops with Ctrl-C. ``PREFECT_API_URL`` in the environment uses that server instead of starting one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

HOME = Path(__file__).resolve().parent.parent
POOL = "ssl4eco"
START_TIMEOUT_S = 120.0


def environment(config: Path, url: str) -> dict[str, str]:
    """The environment of every Prefect process: our server, no telemetry, and what prefect.yaml names."""
    ours = {
        "PREFECT_API_URL": url,
        "PREFECT_CLI_PROMPT": "false",
        "SSL4ECO_HOME": str(HOME),
        "SSL4ECO_CONFIG": str(config.resolve()),
    }
    return {**os.environ, **ours}


def prefect(*words: str) -> list[str]:
    """A Prefect command of this Python environment."""
    return [sys.executable, "-m", "prefect", *words]


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the context: asked first, killed after ten seconds."""
    with subprocess.Popen(command, env=dict(env), cwd=HOME) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; raise when it ended or is not there in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(
                f"the Prefect server ended with exit code {process.returncode}; its message is above"
            )
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit(f"no Prefect server at {url} after {START_TIMEOUT_S:g} s")


@contextmanager
def serving(config: Path, port: int, prefect_file: Path = HOME / "prefect.yaml") -> Iterator[dict[str, str]]:
    """Server, pool, deployments and worker; yields the environment that reaches them."""
    url = os.environ.get("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    env = environment(config, url)
    with ExitStack() as stack:
        if "PREFECT_API_URL" not in os.environ:
            command = prefect("server", "start", "--host", "127.0.0.1", "--port", str(port))
            wait_for(url, stack.enter_context(running(command, env)))
        for words in (
            ("work-pool", "create", POOL, "--type", "process", "--overwrite"),
            ("--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file)),
        ):
            subprocess.run(prefect(*words), env=env, cwd=HOME, check=True)
        stack.enter_context(running(prefect("worker", "start", "--pool", POOL), env))
        yield env


def main(arguments: Sequence[str]) -> None:
    """Serve until Ctrl-C."""
    config = Path(arguments[0] if arguments else HOME / "configs" / "demo.toml")
    port = int(os.environ.get("SSL4ECO_PREFECT_PORT", "4200"))
    with serving(config, port):
        print(f"serving; open http://127.0.0.1:{port}, stop with Ctrl-C", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping")


if __name__ == "__main__":
    main(sys.argv[1:])
