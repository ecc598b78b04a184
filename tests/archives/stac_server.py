"""A STAC API with paging and its files with range requests, on the loopback interface."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from shapely.geometry import shape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]

SLOW_S = 2.5


class Server:
    """Serves the item collections of a folder; ``failures`` maps a path's end to answers still to give.

    An answer is a status, ``html``, ``slow``, or ``ok`` for a request that goes well before the others.
    """

    def __init__(self, folder: Path, page_items: int = 2) -> None:
        self.folder = folder
        self.page_items = page_items
        self.failures: dict[str, list[int | str]] = {}
        self.requests: Counter[str] = Counter()
        self.url = ""
        routes = [
            Route("/", self.landing),
            Route("/search", self.search, methods=["POST"]),
            Route("/{path:path}", self.file, methods=["GET", "HEAD"]),
        ]
        self.app = Starlette(routes=routes)

    def _failure(self, path: str) -> Response | None:
        for end, answers in self.failures.items():
            if path.endswith(end) and answers:
                answer = answers.pop(0)
                if answer == "ok":
                    return None
                if answer == "slow":
                    time.sleep(SLOW_S)
                    return Response(status_code=404)
                if answer == "html":
                    return HTMLResponse("<html>maintenance</html>")
                return Response(status_code=int(answer))
        return None

    def landing(self, _request: Request) -> Response:
        if failure := self._failure("/"):
            return failure
        links = [
            {"rel": "self", "href": self.url},
            {"rel": "root", "href": self.url},
            {"rel": "search", "href": f"{self.url}/search", "type": "application/geo+json", "method": "POST"},
        ]
        head = {"type": "Catalog", "id": "loopback", "description": "test", "stac_version": "1.0.0"}
        return JSONResponse(head | {"conformsTo": CONFORMS, "links": links})

    async def search(self, request: Request) -> Response:
        self.requests["search"] += 1
        if failure := await run_in_threadpool(self._failure, "search"):
            return failure
        body = await request.json()
        found = [item for item in self._items() if _matches(item, body)]
        first, size = int(body.get("token", 0)), min(body.get("limit", 10), self.page_items)
        links = []
        if first + size < len(found):
            following = {**body, "token": str(first + size)}
            links = [{"rel": "next", "method": "POST", "href": f"{self.url}/search", "body": following}]
        page = {"type": "FeatureCollection", "features": found[first : first + size], "links": links}
        return JSONResponse(page)

    def _items(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob("*.json")):
            for item in json.loads(path.read_text())["features"]:
                for asset in item["assets"].values():
                    asset["href"] = asset["href"].replace("./", f"{self.url}/", 1)
                yield item

    def file(self, request: Request) -> Response:
        path = request.path_params["path"]
        self.requests[f"{path}?{request.url.query}" if request.url.query else path] += 1
        if failure := self._failure(path):
            return failure
        place = self.folder / path
        return FileResponse(place) if place.is_file() else Response(status_code=404)


def _matches(item: dict[str, Any], body: dict[str, Any]) -> bool:
    if item["collection"] not in body.get("collections", [item["collection"]]):
        return False
    if item["id"] not in body.get("ids", [item["id"]]):
        return False
    if "intersects" in body and not shape(item["geometry"]).intersects(shape(body["intersects"])):
        return False
    if "datetime" in body:
        begin, end = map(_instant, body["datetime"].split("/"))
        properties = item["properties"]
        first = _instant(properties["datetime"] or properties["start_datetime"])
        last = _instant(properties["datetime"] or properties["end_datetime"])
        return first <= end and last >= begin
    return True


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of ``folder`` on a free port, stopped at the end."""
    server = Server(folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        runner = uvicorn.Server(uvicorn.Config(server.app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not runner.started:
            time.sleep(0.01)
        yield server
        runner.should_exit = True
        thread.join(timeout=10)
