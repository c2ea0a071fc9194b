"""The scrape of several nodes, over real HTTP."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.parser import text_string_to_metric_families

from serve_app.observability.scrape import bracketed, merge, scrape_nodes


def node(name: str, requests: int) -> str:
    return f"""# HELP ray_serve_app_requests_total Requests.
# TYPE ray_serve_app_requests_total counter
ray_serve_app_requests_total{{node="{name}"}} {requests}
# HELP ray_node_mem_used Memory.
# TYPE ray_node_mem_used gauge
ray_node_mem_used 1.0
"""


@contextmanager
def exporter(text: str, status: int = 200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def samples(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {sample.labels["node"]: sample.value for family in families for sample in family.samples}


async def test_one_scrape_shows_all_nodes_and_only_serving():
    with ExitStack() as stack:
        urls = [stack.enter_context(exporter(node(name, count))) for name, count in (("a", 3), ("b", 4))]
        text = await scrape_nodes(urls)
    assert samples(text) == {"a": 3, "b": 4}
    assert text.count(b"# TYPE ray_serve_app_requests_total") == 1


async def test_a_node_that_does_not_answer_is_left_out_and_said(caplog):
    caplog.set_level(logging.WARNING)
    with exporter(node("a", 3)) as good, exporter("", status=500) as broken:
        text = await scrape_nodes([good, broken, "http://127.0.0.1:9/metrics"])
        odd = await scrape_nodes([good, "http://fd00::1:8080/metrics"])
    assert samples(text) == samples(odd) == {"a": 3}
    assert caplog.text.count("no metrics from") == 3


def test_a_text_that_is_no_exposition_is_left_out(caplog):
    assert samples(merge([node("a", 1), "ray_serve_x{ 1"])) == {"a": 1}
    assert "left out" in caplog.text


def test_addresses_become_hosts():
    assert [bracketed(address) for address in ("10.0.0.1", "fd00::1")] == ["10.0.0.1", "[fd00::1]"]


def test_merging_keeps_every_sample():
    assert samples(merge([node("a", 1), node("b", 2)], ("ray_serve",))) == {"a": 1, "b": 2}


def test_the_parts_of_our_histograms_are_one_family():
    text = """# TYPE ray_serve_app_batch_rows_bucket gauge
ray_serve_app_batch_rows_bucket{le="1.0"} 3
ray_serve_app_batch_rows_bucket{le="+Inf"} 4
# TYPE ray_serve_app_batch_rows_sum gauge
ray_serve_app_batch_rows_sum 9
# TYPE ray_serve_app_batch_rows_count gauge
ray_serve_app_batch_rows_count 4
"""
    (family,) = text_string_to_metric_families(merge([text]).decode())
    assert (family.name, family.type, len(family.samples)) == ("ray_serve_app_batch_rows", "histogram", 4)
